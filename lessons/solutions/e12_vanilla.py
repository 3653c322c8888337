import numpy as np

from atrank_np.layers.attention import softmax_backward, softmax_forward


def differential_backward(dc, s, r, key, v, lam, target_offsets, offsets):  # -> [T,d], [T,d], [N,d], [N,d], number
    ds, dr, dkey, dv, dlam = np.zeros_like(s), np.zeros_like(r), np.zeros_like(key), np.zeros_like(v), 0.0
    for i in range(len(offsets) - 1):
        rows = slice(target_offsets[i], target_offsets[i + 1])
        keys = slice(offsets[i], offsets[i + 1])
        if offsets[i] == offsets[i + 1]:
            continue
        a, _ = softmax_forward(s[rows] @ key[keys].T)
        b, _ = softmax_forward(r[rows] @ key[keys].T)
        dw = dc[rows] @ v[keys].T
        dv[keys] = (a - lam * b).T @ dc[rows]
        dlam -= (dw * b).sum()
        dx = softmax_backward(dw, a)
        dy = softmax_backward(-lam * dw, b)
        ds[rows] = dx @ key[keys]
        dr[rows] = dy @ key[keys]
        dkey[keys] = dx.T @ s[rows] + dy.T @ r[rows]
    return ds, dr, dkey, dv, dlam


WRONG = [
    ("slice(target_offsets[i], target_offsets[i + 1])", "slice(0, len(s))", "targets of all histories"),
    ("slice(offsets[i], offsets[i + 1])", "slice(0, len(key))", "behaviours of all histories"),
    ("softmax_backward(dw, a)", "a * dw", "softmax's second term"),
    ("softmax_backward(-lam * dw, b)", "softmax_backward(dw, b)", "no factor −λ"),
    ("        if offsets[i] == offsets[i + 1]:\n            continue\n", "", "an empty history crashes"),
    ("(a - lam * b).T", "a.T", "values weighted with a only"),
    (" + dy.T @ r[rows]", "", "the second query's share of the keys"),
    ("dlam -= (dw * b).sum()", "dlam = -(dw * b).sum()", "the last history's dλ only"),
    ("(dw * b).sum()", "(dw * b).mean()", "a mean"),
    ("return ds, dr, dkey, dv, dlam", "return ds, dr, dv, dkey, dlam", "dkey and dv swapped"),
]
