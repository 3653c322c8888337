import numpy as np


def weighted(f, y, group, c):  # [T], [T], [T], [G] -> number, [T], [G]
    loss, df, dc = 0.0, np.zeros_like(f), np.zeros_like(c)
    for g in range(len(c)):
        own = group == g
        if not own.any():
            continue
        mean = (np.logaddexp(0, f[own]) - y[own] * f[own]).mean()
        weight = np.exp(-c[g])
        loss += weight * mean + c[g] / 2
        df[own] = weight * (1 / (1 + np.exp(-f[own])) - y[own]) / own.sum()
        dc[g] = -weight * mean + 0.5
    return loss, df, dc


WRONG = [
    ("/ own.sum()", "/ len(f)", "divided by all targets"),
    ("-weight * mean + 0.5", "-weight * mean", "a use of c lost"),
    ("-weight * mean + 0.5", "weight * mean + 0.5", "a sign"),
    ("df[own] = weight *", "df[own] =", "the weight forgotten"),
    ("weight * mean + c[g] / 2", "weight * mean", "the second term forgotten"),
    (
        "        if not own.any():\n            continue\n",
        "        if not own.any():\n            dc[g] = 0.5\n            continue\n",
        "an empty group learns",
    ),
    ("np.exp(-c[g])", "np.exp(c[g])", "the weight upside down"),
]
