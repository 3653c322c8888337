import numpy as np


def mixed(f, drawn, n, w):  # [1+m], [m], [M], number -> number, [1+m]
    m, M = len(drawn), len(n)
    q = w / M + (1 - w) * n[drawn] / n.sum()
    g = f[1:] - np.log(m * q)
    G = np.logaddexp.reduce(g)
    loss = np.logaddexp(0, G - f[0])
    slope = np.exp(-np.logaddexp(0, f[0] - G))
    df = np.append(-slope, slope * np.exp(g - G))
    return loss, df


WRONG = [
    ("np.log(m * q)", "np.log(q)", "m forgotten"),
    ("f[1:] - np.log(m * q)", "f[1:] + np.log(m * q)", "the wrong sign"),
    ("q = w / M + (1 - w) * n[drawn] / n.sum()", "q = M ** (-w) * (n[drawn] / n.sum()) ** (1 - w)", "logarithms mixed"),
    ("w / M + (1 - w) *", "(1 - w) / M + w *", "the sources exchanged"),
    ("n[drawn] / n.sum()", "n[drawn] / n[drawn].sum()", "shares among what was drawn"),
    ("G = np.logaddexp.reduce(g)", "G = np.log(np.exp(g).sum())", "overflows"),
    ("slope * np.exp(g - G)", "slope * np.exp(f[1:] - np.logaddexp.reduce(f[1:]))", "shares without the correction"),
    ("np.append(-slope,", "np.append(slope,", "the positive is pushed down"),
]
