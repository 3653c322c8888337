def spaces_grad(dS_k, S_k, S, P):  # [K,n,d], [K,n,d], [n,D], [D,D] -> [n,D], [D,D], [D]
    dz_k = dS_k * (S_k > 0)
    dz = dz_k.transpose(1, 0, 2).reshape(S.shape)
    return dz @ P.T, S.T @ dz, dz.sum(0)


WRONG = [
    (".transpose(1, 0, 2).reshape", ".reshape", "reshape alone"),
    ("(1, 0, 2)", "(1, 2, 0)", "d before K"),
    (" * (S_k > 0)", "", "no gate"),
    ("dz @ P.T", "dz @ P", "P not transposed"),
    ("S.T @ dz", "(S.T @ dz).T", "dP transposed"),
    (", dz.sum(0)", "", "db forgotten"),
    ("return dz @ P.T", "d = S_k.shape[2]\n    return dz[:, -d:] @ P[:, -d:].T", "only the last space reaches S"),
]
