import numpy as np


def forward(x, W, U, b, offsets):  # [N,D], [D,4H], [H,4H], [4H], [B+1] -> [N,H]
    H = len(U)
    y, kept = np.zeros((len(x), H)), []
    for start, stop in zip(offsets[:-1], offsets[1:]):
        h, c = np.zeros(H), np.zeros(H)
        for row in range(start, stop):
            z = x[row] @ W + h @ U + b
            i, f, o = (1 / (1 + np.exp(-z[k * H : (k + 1) * H])) for k in (0, 1, 3))
            g = np.tanh(z[2 * H : 3 * H])
            old_h, old_c, c = h, c, f * c + i * g
            s = np.tanh(c)
            h = o * s
            y[row] = h
            kept.append((old_h, old_c, i, f, g, o, s))
    return y, (x, W, U, kept, offsets)


def backward(dy, cache):  # [N,H] -> by x, W, U, b
    x, W, U, kept, offsets = cache
    H = len(U)
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(4 * H)
    for start, stop in reversed(list(zip(offsets[:-1], offsets[1:]))):
        dh, dc = np.zeros(H), np.zeros(H)
        for row in reversed(range(start, stop)):
            old_h, old_c, i, f, g, o, s = kept[row]
            dh = dh + dy[row]
            do = dh * s
            dc = dc + dh * o * (1 - s**2)
            di, df, dg = dc * g, dc * old_c, dc * i
            dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
            dx[row] = W @ dz
            dW += np.outer(x[row], dz)
            dU += np.outer(old_h, dz)
            db += dz
            dh, dc = U @ dz, dc * f
    return dx, dW, dU, db


WRONG = [
    (
        "        dh, dc = np.zeros(H), np.zeros(H)\n        for row in rev",
        "        if stop == offsets[-1]:\n            dh, dc = np.zeros(H), np.zeros(H)\n        for row in rev",
        "the first fault left",
    ),
    ("np.outer(old_h, dz)", "np.outer(o * s, dz)", "the second fault left"),
    ("dc = dc + dh * o", "dc = dh * o", "the cell's gradient is lost between steps"),
    ("dh = dh + dy[row]", "dh = dy[row]", "the state's gradient is lost between steps"),
    ("dh, dc = U @ dz, dc * f", "dh, dc = U @ dz, dc", "the forget gate is passed by"),
    ("dU += np", "dU = np", "U gets one step only"),
]
