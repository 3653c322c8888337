def gru_backward(dh, p, r, u, g, Ur, Uu, Ug):  # [A,H] five times, [H,H] three times -> [A,H] four times, [H,H]
    du = dh * (p - g)
    dg = dh * (1 - u)
    dzg = dg * (1 - g**2)
    dzu = du * u * (1 - u)
    q = r * p
    dq = dzg @ Ug.T
    dUg = q.T @ dzg
    dr = dq * p
    dzr = dr * r * (1 - r)
    dp = dh * u
    dp = dp + dq * r
    dp = dp + dzr @ Ur.T
    dp = dp + dzu @ Uu.T
    return dzr, dzu, dzg, dp, dUg


WRONG = [
    ("dh * (p - g)", "dh * p", "u used once"),
    ("dg * (1 - g**2)", "dg", "no slope of tanh"),
    ("dg * (1 - g**2)", "dg * g * (1 - g)", "the slope of a sigmoid"),
    ("du * u * (1 - u)", "du", "no slope of the gate"),
    ("q.T @ dzg", "p.T @ dzg", "the matrix meets another row"),
    ("    dp = dp + dq * r\n", "", "a use of p lost"),
    ("    dp = dp + dzr @ Ur.T\n", "", "the reset gate's use of p lost"),
    ("    dp = dp + dzu @ Uu.T\n", "", "the update gate's use of p lost"),
    ("dzg @ Ug.T", "dzg @ Ug", "a transpose lost"),
    ("dzu @ Uu.T", "dzu @ Uu", "another transpose lost"),
    ("dp = dh * u\n", "dp = dh * (1 - u)\n", "the gate the other way round"),
]
