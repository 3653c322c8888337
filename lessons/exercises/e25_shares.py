import numpy as np

from lessons.exercises import Case

TITLE = "columns and squares of a heat map"
TASK = """
Write shares(A, g) (about 8 lines).
    A  [n,n]  attention weights of one space, every row sums to 1      g  [n]  the kind of each behaviour, a small integer
    returns two numbers, columns and squares: which share of the unevenness Σ (A_ij - 1/n)² is
        columns: Σ_ij (m_j - 1/n)²,  m_j = what j gets from the average reader
        squares: Σ_ij R_ij²,         R_ij = the mean of A_pq - m_q over all p of i's kind and all q of j's kind
"""
STUB = """\
import numpy as np


def shares(A, g):  # [n,n], [n] -> columns, squares
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "m is the mean over the readers, A.mean(0). For the squares fill a matrix R: for each pair of kinds a, b, "
    "np.ix_(g == a, g == b) picks the block.",
    "rest = A - m; R[block] = rest[block].mean() for every pair of kinds; squares = (R**2).sum() / ((A - 1/n)**2).sum(). "
    "m_j stands in n rows, so the columns have a factor n: n * ((m - 1/n)**2).sum().",
)
EXPLAIN = """
Why it is so: the three parts (column, square, rest) are orthogonal, so their sums of squares add up like the sides of a right
angle, and a share says how much of a picture is explained. Compare it with the share for shuffled kinds: blocks of few cells
fit noise, too.
"""


def check(answer, rng):
    for n, kinds in ((4, 2), (7, 3), (11, 2)):
        A = np.exp(2 * rng.standard_normal((n, n)))
        A /= A.sum(1, keepdims=True)
        g = np.append(np.arange(kinds), rng.integers(kinds, size=n - kinds))
        # The oracle fits by least squares: a number per column, then a number per pair of kinds on top of it.
        j = np.tile(np.eye(n), (n, 1))
        blocks = np.kron(np.eye(kinds)[g], np.eye(kinds)[g])
        fit = lambda X, y: X @ np.linalg.lstsq(X, y, rcond=None)[0]
        uneven = (A - 1 / n).ravel()
        column = fit(j, uneven)
        square = fit(blocks, uneven - column)
        columns, squares = (column**2).sum() / (uneven**2).sum(), (square**2).sum() / (uneven**2).sum()
        own_kind = (square[blocks @ np.eye(kinds).ravel() > 0] ** 2).sum() / (uneven**2).sum()
        yours = answer.shares(A, g)
        yield Case(
            f"columns ({n} behaviours)",
            yours[0],
            columns,
            {
                "m_j stands in n rows: times n": columns / n,
                "means over the readers, not over the read: rows sum to 1, so these are all 1/n": 0.0,
            },
        )
        yield Case(
            f"squares ({n} behaviours, {kinds} kinds)",
            yours[1],
            squares,
            {
                "take the columns away first": (fit(blocks, uneven) ** 2).sum() / (uneven**2).sum(),
                "a kind looks at other kinds, too: all pairs of kinds are blocks": own_kind,
            },
        )
