import numpy as np


def unit_forward(x):  # [N,D] -> [N,D]
    square = (x * x).sum(1, keepdims=True)  # F1
    length = np.sqrt(square)  # F2
    y = x / length  # F3
    return y, (x, length)


def unit_backward(dy, cache):  # [N,D] -> [N,D]
    x, length = cache
    dlength = -(dy * x).sum(1, keepdims=True) / length**2  # B3, by length
    dsquare = dlength / (2 * length)  # B2
    dx_square = dsquare * 2 * x  # B1: x is both factors of x · x
    return dx_square + dy / length  # B3, by x, and the road through the length


WRONG = [
    ("dsquare * 2 * x", "dsquare * x", "one of two uses missing"),
    ("return dx_square + dy / length", "return dy / length", "the road through the length"),
    ("dlength = -(dy", "dlength = (dy", "sign"),
    ("y = x / length", "y = x / square", "another forward pass"),
]
