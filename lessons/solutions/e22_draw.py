import numpy as np


def draw_error(p, R):  # [S], number -> number
    return np.sqrt((p * (1 - p) / R).sum()) / len(p)


def whole_error(p, R):  # [S], number -> number
    return np.sqrt(((p * (1 - p) / R).mean() + p.var()) / len(p))


WRONG = [
    ("np.sqrt((p * (1 - p) / R).sum()) / len(p)", "np.sqrt(p.mean() * (1 - p.mean()) / R / len(p))", "binomial of the mean"),
    ("p) / R).sum()) / len(p)", "p)).sum()) / len(p)", "R forgotten"),
    ("np.sqrt((p * (1 - p) / R).sum()) / len(p)", "(p * (1 - p) / R).sum() / len(p) ** 2", "no root"),
    (".mean() + p.var()", ".mean()", "the users forgotten"),
    ("(p * (1 - p) / R).mean() + p.var()", "p.mean() * (1 - p.mean()) / R", "the users' part shrinks with R"),
    ("(p * (1 - p) / R).mean() + p.var()", "p.mean() * (1 - p.mean())", "one negative only"),
]
