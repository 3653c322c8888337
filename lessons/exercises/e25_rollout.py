import numpy as np

from lessons.exercises import Case

TITLE = "through two layers: what reaches the user vector"
TRANSFER = True
TASK = """
The vanilla attention reads rows C_i, and each C_i has read the history before. Trace both layers. With a residual, a part
rho of C_i is behaviour i itself; the other part, 1 - rho, is what the self-attention of row i read.
Write through(A, v, rho) (about 5 lines).
    A  [K,n,n]  self-attention of K spaces, A[k][i][j]: how much reader i looks at j; rows sum to 1
    v  [L,n]    vanilla attention of L spaces, rows sum to 1         rho  a number from 0 to 1
    returns two arrays [n]: reach, the weight with which each behaviour j reaches the user vector: the sum over all ways
    v → i → j, averaged over all pairs of a space of v and a space of A; and own, the part of reach that came without
    any other behaviour between: i = j, by the residual or by the self-attention
"""
STUB = """\
import numpy as np


def through(A, v, rho):  # [K,n,n], [L,n], number -> [n], [n]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "One pair of spaces first: behaviour j is reached through row i with v_i · (rho [i = j] + (1 - rho) A_ij); sum over i. "
    "The spaces of v and of A are averaged independently, so their means may be taken first.",
    "M = rho * np.eye(n) + (1 - rho) * A.mean(0); w = v.mean(0); reach = w @ M; own = w * np.diag(M).",
)
EXPLAIN = """
Why it is so: shares of shares multiply, and ways add up; a product of matrices does both. The rows of M sum to 1, so reach
sums to 1 too. The vanilla weights alone answer another question: which ROW was read, not which behaviour. With rho = 0 and
columns in A the two have little in common. (And still it is no effect on the score: values, relus and F_self stand between.
Lesson 26.)
"""


def check(answer, rng):
    for K, L, n, rho in ((1, 1, 3, 0.0), (2, 3, 4, 0.3), (4, 2, 7, 0.8)):
        A, v = rng.dirichlet(np.ones(n), (K, n)), rng.dirichlet(np.ones(n), L)
        reach, own = np.zeros(n), np.zeros(n)
        for a in range(K):
            for b in range(L):
                for i in range(n):
                    for j in range(n):
                        way = v[b, i] * ((rho if i == j else 0) + (1 - rho) * A[a, i, j]) / (K * L)
                        reach[j] += way
                        own[j] += way if i == j else 0
        yours = answer.through(A, v, rho)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("a tuple of two: reach and own. How many came back", came, 2)
            return
        mean, w = A.mean(0), v.mean(0)
        turned = w @ (rho * np.eye(n) + (1 - rho) * mean.T)
        causes = {
            "turned round: reader i is the row of A, and v weights the readers": turned,
            "that is which row is read, not which behaviour is reached": w,
            "the residual is missing": w @ mean,
        }
        yield Case(f"reach, K = {K}, L = {L}, n = {n}, rho = {rho}", yours[0], reach, causes if rho else {})
        yield Case(
            f"own, K = {K}, L = {L}, n = {n}, rho = {rho}", yours[1], own, {"the self-attention's A_ii": rho * w} if rho else {}
        )
