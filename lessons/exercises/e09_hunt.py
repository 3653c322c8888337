import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a self-attention that learns, but not quite right"
TASK = """
The file holds a stranger's self-attention of one space. It trains, and the loss falls, but one line of its backward pass is
wrong. Do not look for it by reading: let numbers find it. At the end of the file, compare each gradient with a numeric one:
    rng = np.random.default_rng(0)
    draw arrays of different sizes: S [5,7], P_W and Q_W [7,3], P_b and Q_b [3], W [3,7], r [5,3] (random upstream gradient)
    from atrank_np.gradcheck import compare, numeric_gradient
    print(compare("S", dS, lambda h: numeric_gradient(f, S, h)))    # with f = lambda _: (r * forward(...)[0]).sum()
Which gradients are wrong and which are right? The wrong line stands between them. Mend it.
"""
STUB = """\
import numpy as np


def forward(S, P_W, P_b, W, Q_W, Q_b):
    s = np.maximum(S @ P_W + P_b, 0)
    key = S @ W.T
    v = np.maximum(S @ Q_W + Q_b, 0)
    x = s @ key.T
    e = np.exp(x - x.max(1, keepdims=True))
    a = e / e.sum(1, keepdims=True)
    return a @ v, (S, P_W, W, Q_W, s, key, v, a)


def backward(dc, cache):  # -> by S, P_W, P_b, W, Q_W, Q_b
    S, P_W, W, Q_W, s, key, v, a = cache
    da = dc @ v.T
    dv = a.T @ dc
    dx = a * (da - (a * da).sum(1, keepdims=True))
    ds = dx @ key
    dkey = dx.T @ s
    dzs = ds * (s > 0)
    dzv = dv * (v >= 0)
    dS = dzs @ P_W.T + dkey @ W + dzv @ Q_W.T
    return dS, S.T @ dzs, dzs.sum(0), dkey.T @ S, S.T @ dzv, dzv.sum(0)
"""
HINTS = (
    "Compare all six gradients. P_W, P_b and W are right, so da, dx, ds and dkey must be right. What do S, Q_W and Q_b have in "
    "common that the others do not?",
    "All three need dzv. Its line looks like that of dzs, with one sign more. How often is the output of a relu below zero?",
)
EXPLAIN = """
Why it is so: the output of a relu is never negative, so `v >= 0` is always true and the gate always open. Such a backward
pass still points roughly downhill, so the loss falls and no picture of it looks wrong. Only the numeric derivative tells.
"""


def check(answer, rng):
    S, r = rng.standard_normal((5, 7)), rng.standard_normal((5, 3))
    P_W, Q_W, W = *rng.standard_normal((2, 7, 3)), 0.5 * rng.standard_normal((3, 7))
    own = S, P_W, rng.standard_normal(3), W, Q_W, rng.standard_normal(3)

    def loss(_):
        S, P_W, P_b, W, Q_W, Q_b = own
        e = np.exp(np.maximum(S @ P_W + P_b, 0) @ W @ S.T)
        return (r * (e / e.sum(1, keepdims=True) @ np.maximum(S @ Q_W + Q_b, 0))).sum()

    _, cache = answer.forward(*own)
    gradients = answer.backward(r, cache)
    for name, array, gradient in zip(["S", "P_W", "P_b", "W", "Q_W", "Q_b"], own, gradients, strict=True):
        yield Case(f"d{name}", gradient, numeric_gradient(loss, array))
