import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a whole small model"
TASK = """
A model for one history u [n,b] and one target q [b], with the shared matrix M [b,D] and the net W [D,D]:
    S = relu(u M)    h = relu(q M)
    a = softmax(S h)         [n]   the target looks at the history
    c = Sᵀ a                 [D]   what it sees
    e = c + relu(c W)        [D]   a net with a residual connection
    f = h · e
model_forward is right. Two lines of model_backward are wrong. Find them, station by station, and mend them. To look into the
stations, write the rest of the model as a function of one of them, as lesson 14 does. For the whole:

    import numpy as np
    from atrank_np.gradcheck import check_layer
    from lessons.answers.e14_hunt import model_backward, model_forward
    rng = np.random.default_rng(4)
    inputs = dict(u=rng.standard_normal((5, 4)), q=rng.standard_normal(4))
    inputs |= dict(M=rng.standard_normal((4, 3)), W=rng.standard_normal((3, 3)))
    print(*check_layer(model_forward, model_backward, inputs, ["u", "q", "M", "W"], rng), sep="\\n")

(What stands after the numbers of a wrong line is a guess, made from this one array alone.)
"""
STUB = '''\
import numpy as np


def model_forward(u, q, M, W):  # [n,b], [b], [b,D], [D,D] -> number
    S = np.maximum(u @ M, 0)  # F1
    h = np.maximum(q @ M, 0)  # F2
    s = S @ h  # F3
    a = np.exp(s - s.max())
    a = a / a.sum()  # F4
    c = S.T @ a  # F5
    hidden = np.maximum(c @ W, 0)  # F6
    e = c + hidden  # F7
    f = h @ e  # F8
    return f, (u, q, M, W, S, h, a, c, hidden, e)


def model_backward(df, cache):  # number -> [n,b], [b], [b,D], [D,D]
    """Two of these lines are wrong. Which?"""
    u, q, M, W, S, h, a, c, hidden, e = cache
    dh, de = df * e, df * h  # B8
    dz = de * (hidden > 0)  # B7, B6: the relu
    dW = np.outer(c, dz)  # B6, by W
    dc = de + W @ dz  # B7, and B6 by c
    da = S @ de  # B5, by a
    dS = np.outer(a, dc) * (S > 0)  # B5, by S, and its relu
    ds = a * (da - a @ da)  # B4
    dh = (dh + S.T @ ds) * (h > 0)  # B3, by h, and its relu
    dS = dS + np.outer(ds, h)  # B3, by S
    dM = u.T @ dS + np.outer(q, dh)  # B1, B2: M has two uses
    return dS @ M.T, M @ dh, dM, dW
'''
HINTS = (
    "dW is right, so everything down to dz is. q is wrong, and it gets its gradient through dh: from f, and from the scores. "
    "Check da: which array was c's gradient?",
    "F5 is a product, Sᵀ times a, with the result c. Rule 1 needs the gradient of the result, with all of its summands: c has "
    "two uses, F6 and F7. The other fault is in u, but not in q: so it is about S. Follow dS line by line. S has two uses, and "
    "one relu. At which line is dS complete?",
)
EXPLAIN = """
Why it is so: de and dc have the same shape and are much alike, and a gate in the line of the first use looks diligent. Both are
faults of bookkeeping, not of calculus: a gradient was used before all of its summands were there, or under another's name.
The loss falls with both. Only a check of each station tells.
"""


def loss_of(u, q, M, W):
    S, h = np.maximum(u @ M, 0), np.maximum(q @ M, 0)
    e = np.exp(S @ h)
    c = S.T @ (e / e.sum())
    return h @ (c + np.maximum(c @ W, 0))


def draw(rng, n, b, D):
    while True:  # away from the kinks of the relus, where no numeric derivative is right
        u, q = rng.standard_normal((n, b)), rng.standard_normal(b)
        M, W = 0.7 * rng.standard_normal((b, D)), rng.standard_normal((D, D))
        S, h = np.maximum(u @ M, 0), np.maximum(q @ M, 0)
        e = np.exp(S @ h)
        z = S.T @ (e / e.sum()) @ W
        closed, opened = (u @ M < 0).mean(), (h > 0).sum()
        far = min(np.abs(u @ M).min(), np.abs(q @ M).min(), np.abs(z).min())
        if far > 1e-3 and 0.2 < closed < 0.8 and opened >= 2 and (z > 0).any():
            return u, q, M, W


def check(answer, rng):
    for n, b, D in ((3, 2, 4), (5, 4, 3), (4, 3, 7)):
        own = draw(rng, n, b, D)
        f, cache = answer.model_forward(*own)
        yield Case("f: leave the forward pass as it is", f, loss_of(*own))
        shape = f"(n={n}, b={b}, D={D})"
        gradients = answer.model_backward(0.7, cache)
        for name, x, gradient in zip("uqMW", own, gradients, strict=True):
            expected = 0.7 * numeric_gradient(lambda _, own=own: loss_of(*own), x)
            yield Case(f"d{name} {shape}", gradient, expected)
