import numpy as np


def prelu_backward(dy, x, W, b, c):  # [N,O], [N,I], [I,O], [O], [O] -> [N,I], [I,O], [O], [O]
    z = x @ W + b
    dz = dy * np.where(z > 0, 1, c)
    dc = (dy * np.minimum(z, 0)).sum(0)
    return dz @ W.T, x.T @ dz, dz.sum(0), dc


WRONG = [
    ("np.where(z > 0, 1, c)", "(z > 0)", "nothing below 0"),
    ("np.where(z > 0, 1, c)", "np.where(z > 0, c, 1)", "the sides exchanged"),
    ("np.where(z > 0, 1, c)", "np.where(np.where(z > 0, z, c * z) > 0, 1, c)", "the side by the sign of y"),
    ("(dy * np.minimum(z, 0))", "(dy * z)", "all rows for c"),
    ("(dy * np.minimum(z, 0)).sum(0)", "(dy * np.minimum(z, 0)).sum()", "one number for all c"),
    ("(dy * np.minimum(z, 0)).sum(0)", "(dy * np.minimum(z, 0)).mean(0)", "mean over the rows"),
    ("x.T @ dz,", "x.T @ dy,", "dW without the slope"),
    (", dc\n", "\n", "dc forgotten"),
    ("return dz @ W.T, x.T @ dz, dz.sum(0), dc", "return ()", "nothing at all"),
]
