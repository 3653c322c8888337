import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a self-attention that keeps no weights"
TASK = """
The file holds a stranger's self-attention of one space: scores divided by √d, a residual connection, and the lean backward pass
of the lesson, which keeps no weights. It trains, and the loss falls. But two lines of `backward` are wrong, and both look right.
Let numbers find them. Run this from the repository's root, and mend until all four gradients agree:

    import numpy as np
    from atrank_np.gradcheck import check_layer
    from lessons.answers.e09_hunt import backward, forward
    rng = np.random.default_rng(0)
    inputs = dict(S=rng.standard_normal((5, 7)), P=rng.standard_normal((7, 3)))
    inputs |= dict(W=rng.standard_normal((3, 7)), Q=rng.standard_normal((7, 7)))
    print(*check_layer(forward, backward, inputs, ["S", "P", "W", "Q"], rng), sep="\\n")

Which gradients are wrong, and which are right? The wrong lines stand between them. Mend the line that spoils most first.
"""
STUB = '''\
import numpy as np


def weights_of(s_i, key):  # [d], [n,d] -> [n]
    x_i = key @ s_i
    e = np.exp(x_i - x_i.max())
    return e / e.sum()


def forward(S, P, W, Q):  # [n,D], [D,d], [d,D], [D,D] -> [n,D]
    s = np.maximum(S @ P, 0) / np.sqrt(P.shape[1])
    key = S @ W.T
    v = np.maximum(S @ Q, 0)
    y = S.copy()  # the residual connection
    for i in range(len(S)):
        y[i] += weights_of(s[i], key) @ v
    return y, (S, P, W, Q, s, key, v, y)


def backward(dy, cache):  # [n,D] -> by S, P, W, Q
    """Two of these lines are wrong. Which?"""
    S, P, W, Q, s, key, v, y = cache
    ds, dkey, dv = np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
    for i in range(len(S)):
        a_i = weights_of(s[i], key)
        da_i = v @ dy[i]
        dx_i = a_i * (da_i - dy[i] @ y[i])
        ds[i] = dx_i @ key
        dkey += np.outer(dx_i, s[i])
        dv += np.outer(a_i, dy[i])
    dzs = ds * (s > 0)
    dzv = dv * (v > 0)
    dS = dy + dzs @ P.T + dkey @ W + dzv @ Q.T
    return dS, S.T @ dzs, dkey.T @ S, S.T @ dzv
'''
HINTS = (
    "Q is right, so dv and its relu are right. W is wrong, so dkey is, and with it dx_i. The lesson's proof says that the mean "
    "⟨a, da⟩ is ⟨dc, c⟩, where c is the weighted sum of the values. Is that what stands there?",
    "y is S + c, so the mean needs y[i] − S[i]. When that is mended, only P and S stay wrong, P by the ratio 1.732 everywhere. "
    "That is √3, and d is 3: which factor of the forward pass has no place in the backward pass yet?",
)
EXPLAIN = """
Why it is so: ⟨a, da⟩ = ⟨dc, c⟩ holds for what the attention gives, not for what a later line made of it. Fast attention code
(FlashAttention) uses this identity too, and such a fault is hard to see: shapes fit, the loss falls. The missing 1/√d is
the usual kind: a constant factor, which a ratio that is the same everywhere gives away.
"""


def loss_of(S, P, W, Q, r):
    total = 0
    for i in range(len(S)):
        s_i = np.maximum(S[i] @ P, 0) / P.shape[1] ** 0.5
        e = np.exp(S @ W.T @ s_i)
        total += r[i] @ (S[i] + e / e.sum() @ np.maximum(S @ Q, 0))
    return total


def check(answer, rng):
    S, P, W, Q = (rng.standard_normal(shape) for shape in ((5, 7), (7, 3), (3, 7), (7, 7)))
    own = S, 0.5 * P, 0.5 * W, Q
    r = rng.standard_normal((5, 7))
    y, cache = answer.forward(*own)
    yield Case("the loss: leave the forward pass as it is", (r * y).sum(), loss_of(*own, r))
    gradients = answer.backward(r, cache)
    for name, array, gradient in zip("SPWQ", own, gradients, strict=True):
        yield Case(f"d{name}", gradient, numeric_gradient(lambda _: loss_of(*own, r), array))
