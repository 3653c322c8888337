import numpy as np


def place(days, s):
    p = np.log2(1 + days / s)
    k = np.floor(p).astype(int)
    return k, (p - k)[:, None]


def between(days, time, s):  # [N], [R,E], number -> [N,E]
    k, w = place(days, s)
    return (1 - w) * time[k] + w * time[k + 1]


def between_backward(du, days, time, s):  # [N,E], [N], [R,E], number -> [R,E], number
    k, w = place(days, s)
    dtime = np.zeros_like(time)
    np.add.at(dtime, k, (1 - w) * du)
    np.add.at(dtime, k + 1, w * du)
    dw = (du * (time[k + 1] - time[k])).sum(1)
    slope = -days / (s**2 * (1 + days / s) * np.log(2))
    return dtime, (dw * slope).sum()


WRONG = [
    ("(1 - w) * time[k] + w * time[k + 1]", "w * time[k] + (1 - w) * time[k + 1]", "shares exchanged"),
    ("np.add.at(dtime, k, (1 - w) * du)", "dtime[k] += (1 - w) * du", "repeats lost"),
    ("np.add.at(dtime, k + 1, w * du)", "np.add.at(dtime, k, w * du)", "only the lower row"),
    ("(time[k + 1] - time[k])", "time[k + 1]", "one of two uses of w"),
    (" * np.log(2))", ")", "ln in place of log2"),
    ("slope = -days", "slope = days", "sign"),
    ("(dw * slope).sum()", "dw * slope", "not summed"),
]
