import numpy as np


def cell_backward(dh, dnew, c, i, f, g, o, t):  # [A,H] each -> [A,4H], [A,H]
    do = dh * t
    by_new = dnew + dh * o * (1 - t**2)
    di, dg = by_new * g, by_new * i
    df, dc = by_new * c, by_new * f
    dz = [di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)]
    return np.concatenate(dz, axis=1), dc


WRONG = [
    ("dnew + dh * o", "dh * o", "the step after is not heard"),
    ("dnew + dh * o * (1 - t**2)", "dnew", "the shown state is not heard"),
    (" * (1 - t**2)", "", "no tanh between"),
    ("dh * o * (1", "dh * (1", "no output gate"),
    ("by_new * c, by_new * f", "by_new * f, by_new * c", "swapped"),
    ("dg * (1 - g**2)", "dg * g * (1 - g)", "g is a tanh, no sigmoid"),
    ("[di * i * (1 - i), df * f * (1 - f),", "[df * f * (1 - f), di * i * (1 - i),", "another order of gates"),
]
