import numpy as np


def sigmoid(y):
    return 1 / (1 + np.exp(-y))


def forward(xr, xu, xg, Ur, Uu, Ug):  # [n,H] three times, [H,H] three times -> [n,H], list of (p, r, u, g)
    y, kept = np.zeros_like(xr), []
    p = np.zeros(len(Ur))
    for t in range(len(xr)):
        r = sigmoid(xr[t] + p @ Ur)
        u = sigmoid(xu[t] + p @ Uu)
        g = np.tanh(xg[t] + (r * p) @ Ug)
        kept.append((p, r, u, g))
        y[t] = u * p + (1 - u) * g
        p = y[t]
    return y, kept


def backward(dy, kept, Ur, Uu, Ug):  # [n,H], list, [H,H] three times -> [n,H] three times, [H,H] three times
    dxr, dxu, dxg = np.zeros_like(dy), np.zeros_like(dy), np.zeros_like(dy)
    dUr, dUu, dUg = np.zeros_like(Ur), np.zeros_like(Uu), np.zeros_like(Ug)
    h_back = np.zeros(len(Ur))
    for t in reversed(range(len(dy))):
        p, r, u, g = kept[t]
        dh = dy[t] + h_back
        dzg = dh * (1 - u) * (1 - g**2)
        dzu = dh * (p - g) * u * (1 - u)
        dq = Ug @ dzg
        dzr = dq * p * r * (1 - r)
        dxr[t], dxu[t], dxg[t] = dzr, dzu, dzg
        dUr += np.outer(p, dzr)
        dUu += np.outer(p, dzu)
        dUg += np.outer(r * p, dzg)
        h_back = dh * u + dq * r + Ur @ dzr + Uu @ dzu
    return dxr, dxu, dxg, dUr, dUu, dUg


WRONG = [
    ("dy[t] + h_back", "dy[t]", "the state's gradient is lost between steps"),
    ("dy[t] + h_back", "h_back", "what the layers above send is lost"),
    ("h_back = dh * u + dq * r", "h_back = dy[t] * u + dq * r", "the carry of more than one step is lost"),
    ("h_back = dh * u", "h_back = h_back + dh * u", "what was handed back is counted again"),
    (" + Ur @ dzr + Uu @ dzu", "", "the gates' uses of the state lost"),
    ("dUr += np", "dUr = np", "U gets one step only"),
    ("np.outer(p, dzu)", "np.outer(u * p + (1 - u) * g, dzu)", "U meets the new state"),
    ("np.outer(r * p, dzg)", "np.outer(p, dzg)", "Ug meets another row"),
    ("np.outer(p, dzr)", "np.outer(dzr, p)", "a transposed gradient"),
    ("reversed(range(len(dy)))", "range(len(dy))", "the wrong direction"),
]
