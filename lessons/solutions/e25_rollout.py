import numpy as np


def through(A, v, rho):  # [K,n,n], [L,n], number -> [n], [n]
    M = rho * np.eye(A.shape[1]) + (1 - rho) * A.mean(0)
    w = v.mean(0)
    return w @ M, w * np.diag(M)


WRONG = [
    ("return w @ M", "return M @ w", "turned round"),
    ("rho * np.eye(A.shape[1]) + (1 - rho) * A.mean(0)", "A.mean(0)", "no residual"),
    ("(1 - rho) * A", "A", "parts that sum to more than 1"),
    ("rho * np.eye(A.shape[1]) + (1 - rho)", "(1 - rho) * np.eye(A.shape[1]) + rho", "the parts exchanged"),
    ("A.mean(0)", "A.sum(0)", "summed over spaces"),
    ("w * np.diag(M)", "rho * w", "the residual alone"),
    ("return w @ M", "return w", "the rows that are read"),
]
