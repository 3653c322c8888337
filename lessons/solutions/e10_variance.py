import numpy as np


def normalise(x):  # [N,D] -> [N,D]
    centred = x - x.mean(1, keepdims=True)
    variance = (centred**2).mean(1, keepdims=True)
    return centred / np.sqrt(variance + 1e-5)


WRONG = [
    ("(centred**2).mean(1, keepdims=True)", "np.abs((x**2).mean(1, keepdims=True) - x.mean(1, keepdims=True) ** 2)", "one pass"),
    (
        "(centred**2).mean(1, keepdims=True)",
        "np.abs(((x - x.mean()) ** 2).mean(1, keepdims=True) - (x - x.mean()).mean(1, keepdims=True) ** 2)",
        "one shift for all rows",
    ),
    ("np.sqrt(variance + 1e-5)", "(variance + 1e-5)", "no root"),
    ("variance + 1e-5", "variance", "no epsilon"),
    ("(centred**2).mean(1, keepdims=True)", "x.var(1, keepdims=True, ddof=1)", "divided by D - 1"),
]
