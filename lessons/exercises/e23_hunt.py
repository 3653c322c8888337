import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: a shared table, and every sum is right"
TASK = """
Two groups share one table of brands [V,E]. A behaviour of group 0 has two brands, side by side (width 2E), one of group 1 a
single brand (width E). forward is right. backward is wrong for some batches. Its author has checked that the sum over all
rows of dtable is right, that both dW are right, and that repeated brands add up. All of that is true.
At the end of the file draw table [5,2], W = [array [4,3], array [2,3]], groups, brands [N,2], a random upstream gradient r
[N,3], and compare dtable row by row with
    from atrank_np.gradcheck import numeric_gradient
    print(dtable - numeric_gradient(f, table))    # f = lambda _: (r * forward(table, W, group, brands)[0]).sum()
for group = [1, 1, 1], then [0], then [0, 0]. For which is it right? Then read one line only, and mend it.
"""
STUB = """\
import numpy as np


def forward(table, W, group, brands):  # [V,E], ([2E,D], [E,D]), [N], [N,2] -> [N,D]
    S, u = np.zeros((len(group), W[0].shape[1])), []
    for g in (0, 1):
        rows = np.flatnonzero(group == g)
        u.append(table[brands[rows, : 2 - g]].reshape(len(rows), -1))
        S[rows] = np.maximum(u[g] @ W[g], 0)
    return S, (table, W, group, brands, u, S)


def backward(dS, cache):  # [N,D] -> dtable, [dW of each group]
    table, W, group, brands, u, S = cache
    E = table.shape[1]
    dtable, dW = np.zeros_like(table), []
    for g in (0, 1):
        rows = np.flatnonzero(group == g)
        dz = dS[rows] * (S[rows] > 0)
        dW.append(u[g].T @ dz)
        du = dz @ W[g].T
        parts = du.reshape(-1, E)
        ids = brands[rows, : 2 - g].T.reshape(-1)
        np.add.at(dtable, ids, parts)
    return dtable, dW
"""
HINTS = (
    "One behaviour of group 0 is right, two are wrong; group 1 is always right. So each part of du arrives, but at a wrong "
    "brand. In which order do the parts stand in `parts`, and in which the brands in `ids`? Print both for two behaviours.",
    "reshape goes row by row: behaviour 0 brand 0, behaviour 0 brand 1, behaviour 1 brand 0 … The transpose lists all "
    "first brands, then all second ones. Without .T both have one order.",
)
EXPLAIN = """
Why it is so: parts and ids are two lists that belong together by their order alone, and nothing checks it. The sum over the
table cannot see an exchange, nor can a test with one behaviour, nor equal shapes. Only a comparison entry by entry can. So
whoever joins two lists by place should derive both from one expression.
"""


def check(answer, rng):
    group, brands = np.array([0, 1, 0, 1, 1, 0]), rng.integers(5, size=(6, 2))
    brands[3], brands[4] = brands[1], brands[1]  # a repeat within a group
    table, W = rng.standard_normal((5, 2)), [rng.standard_normal((4, 3)), rng.standard_normal((2, 3))]
    r = rng.standard_normal((6, 3))

    def loss(_):
        total = 0
        for i, g in enumerate(group):
            u = table[brands[i, 0]] if g else np.concatenate([table[brands[i, 0]], table[brands[i, 1]]])
            total += r[i] @ np.maximum(u @ W[g], 0)
        return total

    _, cache = answer.forward(table, W, group, brands)
    dtable, dW = answer.backward(r, cache)
    yield Case("dtable", dtable, numeric_gradient(loss, table))
    for g in (0, 1):
        yield Case(f"dW of group {g}", dW[g], numeric_gradient(loss, W[g]))
