def bilinear_backward(dscores, s, W, m):  # [q,n], [q,d], [d,D], [n,D] -> [q,d], [d,D], [n,D]
    key = m @ W.T
    dkey = dscores.T @ s
    return dscores @ key, dkey.T @ m, dkey @ W


WRONG = [
    ("dscores @ key", "dscores @ (0 * key)", "no gradient by s"),
    ("dkey.T @ m", "s.sum(0)[:, None] * m.sum(0)", "dW without dscores"),
    ("dkey @ W", "-dkey @ W", "sign of dm"),
    ("dscores @ key, dkey.T @ m, dkey @ W", "dscores @ key, dkey.T @ m", "dm is missing"),
    ("dscores @ key, dkey.T @ m, dkey @ W", "dscores @ key, dkey @ W, dkey.T @ m", "order of the results"),
]
