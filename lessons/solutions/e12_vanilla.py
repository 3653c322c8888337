import numpy as np

from atrank_np.layers.attention import softmax_backward, softmax_forward


def attend_backward(dc, s, key, v, target_offsets, offsets):  # -> [T,d], [N,d], [N,d]
    ds, dkey, dv = np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
    for b in range(len(offsets) - 1):
        rows, keys = slice(*target_offsets[b : b + 2]), slice(*offsets[b : b + 2])
        if keys.start == keys.stop:
            continue
        a, cache = softmax_forward(s[rows] @ key[keys].T)
        dx = softmax_backward(dc[rows] @ v[keys].T, cache)
        dv[keys] = a.T @ dc[rows]
        ds[rows] = dx @ key[keys]
        dkey[keys] = dx.T @ s[rows]
    return ds, dkey, dv


WRONG = [
    ("slice(*target_offsets[b : b + 2])", "slice(0, len(s))", "targets of all histories"),
    ("slice(*offsets[b : b + 2])", "slice(0, len(key))", "behaviours of all histories"),
    ("softmax_backward(dc[rows] @ v[keys].T, cache)", "a * (dc[rows] @ v[keys].T)", "softmax's second term"),
    ("        if keys.start == keys.stop:\n            continue\n", "", "an empty history crashes"),
    ("a.T @ dc[rows]", "a.T[:, -1:] @ dc[rows][-1:]", "only the last target is heard"),
    ("return ds, dkey, dv", "return ds, dv, dkey", "dkey and dv swapped"),
]
