import numpy as np


def gate_backward(dy, x, beta):  # [N,D], [N,D], number -> [N,D], number
    z = beta * x
    t = np.tanh(np.log1p(np.exp(z)))
    dt = dy * x
    dp = dt * (1 - t**2)
    dz = dp / (1 + np.exp(-z))
    return dy * t + dz * beta, (dz * x).sum()


WRONG = [
    ("dy * t + dz * beta", "dz * beta", "one use of x"),
    ("dy * t + dz * beta", "dy * t", "the other use of x"),
    ("dz * beta", "dz", "without beta"),
    ("(dz * x).sum()", "(dz * x).mean()", "mean over the entries"),
    ("(dz * x).sum()", "dz * x", "not summed"),
    ("(1 - t**2)", "(1 - t)", "derivative of tanh"),
    ("dp / (1 + np.exp(-z))", "dp", "derivative of softplus"),
]
