import numpy as np


def pointwise_loss(f, y):  # [T], [T] -> number
    softplus = np.maximum(f, 0) + np.log1p(np.exp(-np.abs(f)))
    return (softplus - y * f).mean()


def pointwise_gradient(f, y):  # [T], [T] -> [T]
    e = np.exp(-np.abs(f))
    p = np.where(f >= 0, 1, e) / (1 + e)
    return (p - y) / len(f)


WRONG = [
    (".mean()", ".sum()", "sum for mean"),
    (" / len(f)", "", "the mean's gradient"),
    ("(p - y)", "(y - p)", "sign"),
    ("(p - y)", "(p - y) * p * (1 - p)", "squared error's factor"),
    ("(p - y)", "p", "label forgotten"),
    ("np.exp(-np.abs(f))\n    p =", "np.exp(-f)\n    p =", "overflow"),
    ("np.maximum(f, 0) + np.log1p(np.exp(-np.abs(f)))", "np.log(1 + np.exp(f))", "overflow of the literal softplus"),
    ("np.maximum(f, 0)", "f", "the wrong branch"),
]
