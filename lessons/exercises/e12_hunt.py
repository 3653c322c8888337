import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: targets that share histories"
TASK = """
The file scores targets by f = h · c, where c is what target h gets from the behaviours C of its history (one space, no relu,
several histories). One line of the backward pass is wrong. Let numbers find it, as in the hunt of lesson 09: at the end of
the file, draw h [5,3], C [7,3], W [3,3], Q [3,3], offsets 0, 3, 7 and target_offsets 0, 2, 5, a random upstream gradient r [5],
and compare each of the four gradients with
    from atrank_np.gradcheck import compare, numeric_gradient
    print(compare("C", dC, lambda step: numeric_gradient(score, C, step)))    # score = lambda _: (r * forward(...)[0]).sum()
"""
STUB = """\
import numpy as np


def forward(h, C, W, Q, target_offsets, offsets):  # [T,d], [N,d], [d,d], [d,d], [B+1], [B+1] -> [T]
    key, v = C @ W.T, C @ Q
    c, weights = np.zeros_like(h), []
    for b in range(len(offsets) - 1):
        rows, keys = slice(*target_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        x = h[rows] @ key[keys].T
        e = np.exp(x - x.max(1, keepdims=True))
        weights.append(e / e.sum(1, keepdims=True))
        c[rows] = weights[b] @ v[keys]
    return (h * c).sum(1), (h, C, W, Q, target_offsets, offsets, key, v, c, weights)


def backward(df, cache):  # [T] -> by h, C, W, Q
    h, C, W, Q, target_offsets, offsets, key, v, c, weights = cache
    dc = df[:, None] * h
    dh = df[:, None] * c
    dC, dW, dQ = np.zeros_like(C), np.zeros_like(W), np.zeros_like(Q)
    for b, a in enumerate(weights):
        rows, keys = slice(*target_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        da = dc[rows] @ v[keys].T
        dv = a.T @ dc[rows]
        dx = a * (da - (a * da).sum(1, keepdims=True))
        dh[rows] += dx @ key[keys]
        dkey = dx.T @ h[rows]
        dC[keys] = dkey @ W
        dW += dkey.T @ C[keys]
        dC[keys] = dv @ Q.T
        dQ += C[keys].T @ dv
    return dh, dC, dW, dQ
"""
HINTS = (
    "Three of the four gradients are right. So dkey and dv are right, because dW and dQ are made of them.",
    "Only dC is wrong: it looks as if behaviours were values only. Where does what they got as keys go?",
)
EXPLAIN = """
Why it is so: C is used twice, as key and as value, so its two gradients add up. The second `=` threw the first away. Nothing
crashes, all shapes fit, and W and Q still learn: only what lies below C learns the wrong thing.
"""


def check(answer, rng):
    offsets, target_offsets = np.array([0, 3, 7]), np.array([0, 2, 5])
    own = [rng.standard_normal(shape) for shape in ((5, 3), (7, 3), (3, 3), (3, 3))]
    r = rng.standard_normal(5)

    def loss(_):
        h, C, W, Q = own
        total = 0
        for b in range(2):
            mine = C[offsets[b] : offsets[b + 1]]
            for t in range(*target_offsets[b : b + 2]):
                e = np.exp(mine @ (W.T @ h[t]))
                total += r[t] * (h[t] @ (e / e.sum() @ mine @ Q))
        return total

    _, cache = answer.forward(*own, target_offsets, offsets)
    right = [numeric_gradient(loss, array) for array in own]
    for name, gradient, expected in zip("hCWQ", answer.backward(r, cache), right, strict=True):
        yield Case(f"d{name}", gradient, expected)
