import numpy as np


def additive_backward(dz, s, t, w):  # [n,m], [n,d], [m,d], [d] -> [n,d], [m,d], [d]
    h = np.tanh(s[:, None] + t[None])
    da = dz[:, :, None] * w * (1 - h**2)
    dw = (dz[:, :, None] * h).sum((0, 1))
    return da.sum(1), da.sum(0), dw


WRONG = [
    (" * (1 - h**2)", "", "no slope of tanh"),
    ("dz[:, :, None] * w * ", "dz[:, :, None] * ", "w forgotten"),
    ("da.sum(1), da.sum(0)", "da.mean(1), da.mean(0)", "means"),
    ("(dz[:, :, None] * h).sum((0, 1))", "da.sum((0, 1))", "the slope by w"),
    ("return da.sum(1), da.sum(0)", "return da.sum(1), -da.sum(0)", "a sign"),
]
