import numpy as np


def glu_backward(dy, x, A, a, B, c):  # [N,O], [N,I], [I,O], [O], [I,O], [O] -> [N,I], [I,O], [O], [I,O], [O]
    p = x @ A + a
    g = 1 / (1 + np.exp(-(x @ B + c)))
    dp = dy * g
    dg = dy * p
    dz = dg * g * (1 - g)
    dx = dp @ A.T + dz @ B.T
    return dx, x.T @ dp, dp.sum(0), x.T @ dz, dz.sum(0)


WRONG = [
    ("dp @ A.T + dz @ B.T", "dp @ A.T", "the way through the gate"),
    ("dp @ A.T + dz @ B.T", "dz @ B.T", "the other way"),
    ("dg * g * (1 - g)", "dg", "slope of the gate"),
    ("dp = dy * g", "dp = dy", "without the gate"),
    ("dg = dy * p", "dg = dy", "without p"),
    ("dz.sum(0)", "dz.mean(0)", "mean"),
    ("dp.sum(0), x.T @ dz", "x.T @ dz, dp.sum(0)", "order of the results"),
]
