import numpy as np


def softmax_gradient(f, log_q, label, offsets):  # [T], [T], [T], [B+1] -> [T]
    df, X = np.zeros_like(f), 0
    for start, stop in zip(offsets[:-1], offsets[1:]):
        own = np.arange(start, stop)
        positives, negatives = own[label[own] == 1], own[label[own] == 0]
        if len(negatives) == 0:
            continue
        g = f[negatives] - log_q[negatives]
        G = np.logaddexp.reduce(g)
        dr = -1 / (1 + np.exp(f[positives] - G))
        df[positives] = dr
        df[negatives] = -dr.sum() * np.exp(g - G)
        X += len(positives)
    return df / X


WRONG = [
    ("f[negatives] - log_q[negatives]", "f[negatives]", "log_q forgotten"),
    ("return df / X", "return df", "no mean"),
    ("return df / X", "return df / label.sum()", "positives without a negative counted"),
    ("-dr.sum() * np.exp(g - G)", "-dr.mean() * np.exp(g - G)", "positives do not add up"),
    ("-dr.sum() * np.exp(g - G)", "-dr.sum() / len(g)", "shared out evenly"),
    ("np.exp(f[positives] - G)", "np.exp(G - f[positives])", "a sign"),
    ("for start, stop in zip(offsets[:-1], offsets[1:]):", "for start, stop in [(0, len(f))]:", "one sum for all"),
]
