import numpy as np


def pairwise_gradient(f, positive, negative):  # [T], [X], [X] -> [T]
    margin = f[positive] - f[negative]
    dmargin = -1 / (1 + np.exp(margin)) / len(margin)
    df = np.zeros(len(f))
    np.add.at(df, positive, dmargin)
    np.add.at(df, negative, -dmargin)
    return df


WRONG = [
    ("np.add.at(df, positive, dmargin)", "df[positive] += dmargin", "lost repeats"),
    ("np.add.at(df, negative, -dmargin)", "df[negative] -= dmargin", "lost repeats of negatives"),
    ("    np.add.at(df, negative, -dmargin)\n", "", "negatives forgotten"),
    (" / len(margin)", "", "mean"),
    (" / len(margin)", " / len(f)", "mean over the targets"),
    ("dmargin = -1", "dmargin = 1", "sign"),
    ("np.exp(margin)", "np.exp(-margin)", "σ of the wrong side"),
]
