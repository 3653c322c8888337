import numpy as np


def attend_one_pass(q, keys, values):  # [d], [n,d], [n,d] -> [d]
    highest, z, c = -np.inf, 0.0, np.zeros(len(q))
    for key, value in zip(keys, values):
        s = q @ key
        new = max(highest, s)
        shrink, e = np.exp(highest - new), np.exp(s - new)
        z = shrink * z + e
        c = shrink * c + e * value
        highest = new
    return c / z


WRONG = [
    ("z = shrink * z + e", "z = z + e", "z not brought to the new maximum"),
    ("c = shrink * c + e * value", "c = c + e * value", "c not brought to the new maximum"),
    ("shrink, e = np.exp(highest - new), np.exp(s - new)", "shrink, e = 1.0, np.exp(s - new)", "neither brought"),
    ("return c / z", "return c", "not divided"),
    ("        highest = new\n", "        highest = s\n", "the last score for the highest"),
    ("new = max(highest, s)", "new = 0.0", "no maximum"),
    ("-np.inf", "-1000.0", "a number is no least score"),
    ("e * value", "value", "no weights"),
]
