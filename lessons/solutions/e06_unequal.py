import numpy as np


def unequal_grad(dy, S, P, b, g, bounds):  # [n,D], [n,E], [E,D], [D], [K], [K+1] -> [n,E], [E,D], [D], [K]
    relu = np.maximum(S @ P + b, 0)
    dz = dy * np.repeat(g, np.diff(bounds)) * (relu > 0)
    dg = np.zeros_like(g)
    for k in range(len(g)):
        columns = slice(bounds[k], bounds[k + 1])
        dg[k] = (dy[:, columns] * relu[:, columns]).sum()
    return dz @ P.T, S.T @ dz, dz.sum(0), dg


WRONG = [
    ("dy * np.repeat(g, np.diff(bounds)) * (relu > 0)", "dy * (relu > 0)", "without g"),
    (" * (relu > 0)", "", "no slope of the relu"),
    ("(relu > 0)", "(np.repeat(g, np.diff(bounds)) * relu > 0)", "the side by the sign of y"),
    ("relu[:, columns]).sum()", "relu[:, columns]).mean()", "mean"),
    ("slice(bounds[k], bounds[k + 1])", "slice(bounds[k], bounds[k + 1] - 1)", "the last column of a space"),
    ("* relu[:, columns]", "* (S @ P + b)[:, columns]", "z in place of relu"),
    (", dg\n", "\n", "dg forgotten"),
]
