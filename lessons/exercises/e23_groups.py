import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "one common space, behaviours of several widths: scatter, and gather on the way back"
TASK = """
A history has N behaviours; row i is of group[i]. Group g has its own width b_g and matrix.
    u  list of arrays, u[g] [N_g, b_g]: the behaviours of group g in the order of their rows; a group may have none
    W  list of arrays, W[g] [b_g, D]
Write forward(u, W, group) -> S [N,D] (about 4 lines): row i of S is relu(its u times the matrix of its group).
Write backward(dS, S, u, W, group) -> du, dW (about 6 lines): two lists of arrays, shaped as u and W.
"""
STUB = """\
import numpy as np


def forward(u, W, group):  # G x [N_g,b_g], G x [b_g,D], [N] -> [N,D]
    # YOUR CODE (about 4 lines)
    ...


def backward(dS, S, u, W, group):  # [N,D], [N,D], … -> G x [N_g,b_g], G x [b_g,D]
    # YOUR CODE (about 6 lines)
    ...
"""
HINTS = (
    "group == g is a mask of the rows of group g. S[group == g] = … scatters in order; dS[group == g] gathers in the same order.",
    "Backward, for each g: dz = dS[group == g] * (S[group == g] > 0); dW is u[g].T @ dz, du is dz @ W[g].T. Append both to "
    "lists, also for a group without rows: the products of empty arrays have the right shapes, and zeros.",
)
EXPLAIN = """
Why it is so: every row belongs to exactly one group, so a scatter by rows loses nothing, and its backward pass is the gather by
the same rows. Sums arise only where something is shared: by groups (tables) or by behaviours and targets (F_M).
"""


def check(answer, rng):
    for group, widths, D in (([0, 1, 0, 2, 1, 0], (4, 2, 3), 5), ([1, 1, 0], (2, 3), 1), ([2, 0, 2, 2], (3, 2, 5), 4)):
        group = np.array(group)
        u = [rng.standard_normal(((group == g).sum(), b)) for g, b in enumerate(widths)]
        W = [rng.standard_normal((b, D)) for b in widths]
        seen, S = [0] * len(widths), np.zeros((len(group), D))
        for i, g in enumerate(group):
            S[i] = np.maximum(u[g][seen[g]] @ W[g], 0)
            seen[g] += 1
        r, what = rng.standard_normal(S.shape), f"(groups {group.tolist()})"
        in_order = np.concatenate([np.maximum(u[g] @ W[g], 0) for g in range(len(widths))])
        yield Case(
            f"S {what}",
            answer.forward(u, W, group),
            S,
            {
                "the groups stand one after another: each row has its place in the history": in_order,
                "the relu is missing": np.array([u[g][(group[:i] == g).sum()] @ W[g] for i, g in enumerate(group)]),
            },
        )
        du, dW = answer.backward(r, S, u, W, group)
        for g in range(len(widths)):
            loss = lambda _, r=r[group == g], u=u[g], W=W[g]: (r * np.maximum(u @ W, 0)).sum()
            first = r[: len(u[g])] * (np.maximum(u[g] @ W[g], 0) > 0)
            yield Case(
                f"du of group {g} {what}",
                du[g],
                numeric_gradient(loss, u[g]),
                {
                    "the first rows of dS, not those of the group": first @ W[g].T,
                    "the relu's gate is missing": r[group == g] @ W[g].T,
                },
            )
            yield Case(
                f"dW of group {g} {what}",
                dW[g],
                numeric_gradient(loss, W[g]),
                {
                    "the first rows of dS, not those of the group": u[g].T @ first,
                    "the relu's gate is missing": u[g].T @ r[group == g],
                },
            )
