import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a whole small model"
TASK = """
A model in four stations, for one history S [n,D] and one target h [D]:
    a = softmax(S h)    [n]   the target looks at the history
    c = Sᵀ a            [D]   what it sees
    e = c + relu(c W)   [D]   W [D,D]: a net with a residual connection
    f = h · e
model_forward is right. Two lines of model_backward are wrong. Find them, station by station, with the scoreboard of
lesson 14 or with atrank_np.gradcheck, and mend them:

    from atrank_np.gradcheck import check_layer
    from lessons.answers.e14_hunt import model_backward, model_forward
    rng = np.random.default_rng(0)
    inputs = dict(S=rng.standard_normal((5, 3)), h=rng.standard_normal(3), W=rng.standard_normal((3, 3)))
    print(*check_layer(model_forward, model_backward, inputs, ["S", "h", "W"], rng), sep="\\n")
"""
STUB = '''\
import numpy as np


def model_forward(S, h, W):  # [n,D], [D], [D,D] -> number
    s = S @ h  # F1
    a = np.exp(s - s.max())
    a = a / a.sum()  # F2
    c = S.T @ a  # F3
    hidden = np.maximum(c @ W, 0)  # F4
    e = c + hidden  # F5
    f = h @ e  # F6
    return f, (S, h, W, a, c, hidden, e)


def model_backward(df, cache):  # number -> [n,D], [D], [D,D]
    """Two of these lines are wrong. Which?"""
    S, h, W, a, c, hidden, e = cache
    dh, de = df * e, df * h  # B6
    dc, dhidden = de, de  # B5
    dz = dhidden * (hidden > 0)  # B4, the relu
    dW = np.outer(c, dz)  # B4, by W
    dc = W @ dz  # B4, by c
    da = S @ dc  # B3, by a
    dS = np.outer(a, dc)  # B3, by S
    ds = a * (da - a @ da)  # B2
    dS = dS + np.outer(ds, h)  # B1, by S
    dh = S.T @ ds  # B1, by h
    return dS, dh, dW
'''
HINTS = (
    "dW is right, and so is everything down to dz. Which names get a value twice? Ask of each second value whether the first was "
    "already complete.",
    "c is used by F4 and by F5; h is used by F1 and by F6. A name that is assigned again forgets its first share.",
)
EXPLAIN = """
Why it is so: both faults are the same one. A residual connection and a shared vector are each used twice, and `=` where `+=` is
meant forgets a road. Without the residual's road the loss would still have fallen: only a check of each station tells.
"""


def f_of(S, h, W):
    s = S @ h
    a = np.exp(s - s.max()) / np.exp(s - s.max()).sum()
    c = S.T @ a
    return float(h @ (c + np.maximum(c @ W, 0)))


def check(answer, rng):
    for n, D in ((1, 2), (5, 3), (4, 7)):
        W = rng.standard_normal((D, D))
        while True:  # away from the kink of the relu, where no numeric derivative is right
            S, h = rng.standard_normal((n, D)), rng.standard_normal(D)
            s = S @ h
            c = S.T @ (np.exp(s) / np.exp(s).sum())
            if np.abs(c @ W).min() > 1e-3:
                break
        f, cache = answer.model_forward(S, h, W)
        yield Case("f: leave the forward pass as it is", f, f_of(S, h, W))
        gradients = answer.model_backward(0.7, cache)
        for k, (name, x) in enumerate({"S": S, "h": h, "W": W}.items()):
            rest = lambda x, k=k, all=(S, h, W): f_of(*all[:k], x, *all[k + 1 :])
            yield Case(f"d{name} {list(x.shape)}", gradients[k], 0.7 * numeric_gradient(rest, x.copy()))
