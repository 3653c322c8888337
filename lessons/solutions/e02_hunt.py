import numpy as np


def cosine_forward(x, w):  # [N,D], [D] -> [N]
    inner = x @ w  # F1 [N]
    square = (x * x).sum(1)  # F2 [N]
    length = np.sqrt(square)  # F3 [N]
    size = np.sqrt((w * w).sum())  # F4, a number
    y = inner / (length * size)  # F5 [N]
    return y, (x, w, length, size, y)


def cosine_backward(dy, cache):  # [N] -> [N,D], [D]
    x, w, length, size, y = cache
    dinner = dy / (length * size)  # B5, by inner
    dlength = -dy * y / length  # B5, by length
    dsize = -(dy * y).sum() / size  # B5, by size
    dw_size = dsize * w / size  # B4: the derivative of √(w·w) is w / √(w·w)
    dsquare = dlength / (2 * length)  # B3
    dx_square = 2 * x * dsquare[:, None]  # B2
    dx = dinner[:, None] * w + dx_square  # B1, by x
    dw = x.T @ dinner + dw_size  # B1, by w
    return dx, dw


WRONG = [
    ("dw_size = dsize * w / size", "dw_size = 2 * dsize * w / size", "the fault as it was planted"),
    ("dsize = -(dy", "dsize = (dy", "sign"),
    ("x.T @ dinner + dw_size", "x.T @ dinner", "the way through the size"),
    ("dx_square = 2 * x", "dx_square = x", "one of two uses missing"),
    ("y = inner / (length * size)", "y = inner / length", "another forward pass"),
]
