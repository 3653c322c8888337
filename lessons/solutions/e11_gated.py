import numpy as np


def gated_backward(dtotal, x, A, B, W2, alpha, mask):  # -> [N,D], [D,H], [D,H], [H,D], number
    z = x @ A
    u = x @ B
    sigma = 1 / (1 + np.exp(-z))
    gate = z * sigma
    hidden = gate * u
    dalpha = (dtotal * x).sum()
    dout = mask * dtotal
    dW2 = hidden.T @ dout
    dhidden = dout @ W2.T
    slope = sigma + z * sigma * (1 - sigma)
    dz = dhidden * u * slope
    du = dhidden * gate
    dx = alpha * dtotal + dz @ A.T + du @ B.T
    return dx, x.T @ dz, x.T @ du, dW2, dalpha


WRONG = [
    ("slope = sigma + z * sigma * (1 - sigma)", "slope = sigma", "half of the slope"),
    ("slope = sigma + z * sigma * (1 - sigma)", "slope = sigma * (1 - sigma)", "the slope of σ"),
    ("dz = dhidden * u * slope", "dz = dhidden * slope", "the other factor"),
    ("dx = alpha * dtotal + dz", "dx = dtotal + dz", "α"),
    (" + du @ B.T", "", "x in u"),
    ("dout = mask * dtotal", "dout = dtotal", "no mask"),
    ("dout = mask * dtotal", "dout = (mask > 0) * dtotal", "the mask without its factor"),
    ("(dtotal * x).sum()", "(dtotal * x).sum() / len(x)", "dα a mean over the rows"),
]
