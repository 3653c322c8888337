import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "bug hunt: two groups that share a table"
TASK = """
Two groups share one table of brands [V,E]. A behaviour of group 0 has two brands, side by side (width 2E), one of group 1 a
single brand (width E). forward is right. Two lines of backward are wrong: find them with numbers, not by reading, and mend them.
At the end of the file draw table [5,2], W = [array [4,3], array [2,3]], group = 0 1 0 1 1 and brands [5,2] with some brand in
several rows, a random upstream gradient r [5,3], and compare
    from atrank_np.gradcheck import compare, numeric_gradient
    print(compare("table", dtable, lambda h: numeric_gradient(f, table, h)))    # f = lambda _: (r * forward(...)[0]).sum()
and W[0] and W[1] in the same way. Which are right? So where does the fault begin?
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
        for column in range(2 - g):
            part = du[:, :E]
            dtable[brands[rows, column]] += part
    return dtable, dW
"""
HINTS = (
    "Both dW are right, so dz is right, and du comes from dz alone. What is left are the two lines of the inner loop.",
    "Does the second brand of group 0 hear its own part of du? And what does `dtable[ids] += …` do where ids has a brand twice?",
)
EXPLAIN = """
Why it is so: a table that is shared hears from every column of every group, each with its own part of du; the parts are cut where
the features were joined. And a gradient of rows is a scatter-ADD (np.add.at): `+=` keeps one of the repeats and loses the rest.
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
