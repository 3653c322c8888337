import numpy as np


def forward(x, W, U, b):  # [n,D], [D,4H], [H,4H], [4H] -> [n,H]
    H = len(U)
    h, c, y, kept = np.zeros(H), np.zeros(H), [], []
    for x_t in x:
        z = x_t @ W + h @ U + b
        i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
        g = np.tanh(z[2 * H : 3 * H])
        old_h, old_c, c = h, c, f * c + i * g
        t = np.tanh(c)
        h = o * t
        y.append(h)
        kept.append((old_h, old_c, i, f, g, o, t))
    return np.array(y), (x, W, U, kept)


def backward(dy, cache):  # [n,H] -> by x, W, U, b
    x, W, U, kept = cache
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(W.shape[1])
    dh = dc = np.zeros(len(U))
    for s in reversed(range(len(x))):
        old_h, old_c, i, f, g, o, t = kept[s]
        dh = dh + dy[s]
        do = dh * t
        dc = dc + dh * o * (1 - t**2)
        di, df, dg = dc * g, dc * old_c, dc * i
        dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dx[s] = W @ dz
        dW += np.outer(x[s], dz)
        dU += np.outer(old_h, dz)
        db += dz
        dh, dc = U @ dz, dc * f
    return dx, dW, dU, db


WRONG = [
    ("dc = dc + dh * o", "dc = dh * o", "the fault as it was planted"),
    ("dh = dh + dy[s]", "dh = dy[s]", "the other messenger lost"),
    ("dh, dc = U @ dz, dc * f", "dh, dc = U @ dz, dc", "the forget gate is passed by"),
    ("np.outer(old_h, dz)", "np.outer(o * t, dz)", "U meets the state after the step"),
    ("dU += np", "dU = np", "U hears the first step only"),
]
