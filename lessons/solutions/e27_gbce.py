import numpy as np


def gbce(f, M, t):  # [B,1+m], number, number -> number, [B,1+m]
    B, m = f.shape[0], f.shape[1] - 1
    alpha = m / (M - 1)
    beta = alpha * (t * (1 - 1 / alpha) + 1 / alpha)
    positive, negative = f[:, 0], f[:, 1:]
    loss = (beta * np.logaddexp(0, -positive) + np.logaddexp(0, negative).sum(1)).mean() / (m + 1)
    df = np.exp(-np.logaddexp(0, -f))
    df[:, 0] = -beta * np.exp(-np.logaddexp(0, positive))
    return loss, df / ((m + 1) * B)


WRONG = [
    ("df[:, 0] = -beta * np", "df[:, 0] = -np", "beta lost in the gradient"),
    ("df[:, 0] = -beta", "df[:, 0] = beta", "the positive is pushed down"),
    ("return loss, df / ((m + 1) * B)", "return loss, df / B", "the mean over m + 1 lost"),
    ("return loss, df / ((m + 1) * B)", "return loss, df / (m + 1)", "the mean over rows lost"),
    ("(beta * np.log", "(np.log", "beta lost in the loss"),
    ("alpha = m / (M - 1)", "alpha = (M - 1) / m", "the sampling rate upside down"),
    ("df = np.exp(-np.logaddexp(0, -f))", "df = np.exp(f) / (1 + np.exp(f))", "overflows"),
    ("return loss, df / ((m + 1) * B)", "return loss", "no gradient"),
]
