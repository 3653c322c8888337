import numpy as np


def masked_softmax(x, mask, tau):  # [rows,n], [rows,n] bool, number -> [rows,n]
    u = np.where(mask, x / tau, -np.inf)
    top = u.max(1, keepdims=True)
    top = np.where(mask.any(1, keepdims=True), top, 0)  # a row without any True
    e = np.exp(u - top)
    return e / np.maximum(e.sum(1, keepdims=True), 1e-300)


def masked_softmax_backward(da, x, mask, tau, a):  # all [rows,n], tau a number -> [rows,n], number
    du = a * (da - (a * da).sum(1, keepdims=True))
    dtau = -(du * x).sum() / tau**2
    return du / tau, dtau


WRONG = [
    ("np.where(mask, x / tau, -np.inf)", "np.where(mask, x / tau, 0)", "masked behaviours in the denominator"),
    ("top = np.where(mask.any(1, keepdims=True), top, 0)", "pass", "NaN for a row without any True"),
    ("np.exp(u - top)", "np.exp(np.minimum(u, 700))", "large scores"),
    ("top = u.max(1", "top = (x / tau).max(1", "the maximum of all scores"),
    ("return du / tau, dtau", "return du, dtau", "without 1/tau"),
    ("dtau = -(du", "dtau = (du", "sign"),
    ("tau**2", "tau", "square"),
    ("(da - (a * da).sum(1, keepdims=True))", "da", "second term"),
    ("(du * x).sum()", "(du * x).sum(1)", "a number per row"),
]
