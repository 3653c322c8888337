import numpy as np


def rms_norm_backward(dy, dsize, x, g):  # [N,D], [N,1], [N,D], [D] -> [N,D], [D]
    D = x.shape[1]
    size = np.sqrt((x**2).mean(1, keepdims=True) + 1e-5)
    normed = x / size
    dg = (dy * normed).sum(0)
    dnormed = dy * (1 + g)
    all_of_size = dsize - (dnormed * x).sum(1, keepdims=True) / size**2  # as an output, and in y
    dx = dnormed / size + all_of_size * x / (D * size)
    return dx, dg


WRONG = [
    ("= dsize - (dnormed", "= -(dnormed", "the second output"),
    ("dsize - (dnormed * x).sum(1, keepdims=True) / size**2", "dsize", "size in y"),
    (" + all_of_size * x / (D * size)", "", "size as a constant"),
    ("dnormed = dy * (1 + g)", "dnormed = dy * g", "the 1 of 1 + g"),
    ("(D * size)", "size", "1/D"),
    ("(dy * normed).sum(0)", "dy.sum(0)", "dg without normed"),
    ("(dy * normed).sum(0)", "(dy * normed).mean(0)", "dg a mean"),
]
