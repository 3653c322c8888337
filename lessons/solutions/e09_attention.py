def self_attention_backward(dc, S, s, key, v, a, P_W, W, Q_W):  # -> [n,D], [D,d], [d,D], [D,d]
    da = dc @ v.T
    dv = a.T @ dc
    dx = a * (da - (a * da).sum(1, keepdims=True))
    ds = dx @ key
    dkey = dx.T @ s
    dzs = ds * (s > 0)
    dzv = dv * (v > 0)
    dS = dzs @ P_W.T + dkey @ W + dzv @ Q_W.T
    return dS, S.T @ dzs, dkey.T @ S, S.T @ dzv


WRONG = [
    ("(da - (a * da).sum(1, keepdims=True))", "da", "softmax's second term"),
    (".sum(1, keepdims=True)", ".sum(0)", "softmax's mean over the queries"),
    ("a.T @ dc", "a @ dc", "dv without the transpose"),
    ("dx.T @ s", "dx @ s", "dkey without the transpose"),
    ("ds * (s > 0)", "ds", "relu of s"),
    ("dv * (v > 0)", "dv", "relu of v"),
    ("dzs @ P_W.T + dkey @ W + dzv @ Q_W.T", "dzs @ P_W.T", "one road of three"),
    ("dzs @ P_W.T + dkey @ W + dzv @ Q_W.T", "dzs @ P_W.T + dzv @ Q_W.T", "no road as key"),
]
