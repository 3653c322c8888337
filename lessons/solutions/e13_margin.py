import numpy as np


def margin_gradient(f, positive, negative, w, mu):  # [T], [X], [X], [X], number -> [T], number
    missing = np.maximum(0, mu - (f[positive] - f[negative]))
    dmissing = 2 * w * missing / w.sum()
    df = np.zeros(len(f))
    np.add.at(df, positive, -dmissing)
    np.add.at(df, negative, dmissing)
    return df, dmissing.sum()


WRONG = [
    ("np.add.at(df, positive, -dmissing)", "df[positive] -= dmissing", "lost repeats of positives"),
    ("np.add.at(df, negative, dmissing)", "df[negative] += dmissing", "lost repeats of negatives"),
    ("    np.add.at(df, negative, dmissing)\n", "", "negatives forgotten"),
    ("2 * w * missing", "w * missing", "the factor 2"),
    (" / w.sum()", " / len(w)", "mean over the pairs"),
    ("np.maximum(0, mu - (f[positive] - f[negative]))", "mu - (f[positive] - f[negative])", "no maximum"),
    ("dmissing.sum()", "dmissing.mean()", "dμ a mean"),
    ("missing = np.maximum(0, mu - (", "missing = np.maximum(0, mu + (", "the margin's sign"),
]
