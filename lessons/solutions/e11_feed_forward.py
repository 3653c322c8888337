def block_backward(dtotal, x, hidden, mask, W1, W2):  # -> [N,D], [D,H], [H], [H,D], [D]
    dout = mask * dtotal
    dW2 = hidden.T @ dout
    db2 = dout.sum(0)
    dz = dout @ W2.T * (hidden > 0)
    dW1 = x.T @ dz
    db1 = dz.sum(0)
    dx = dtotal + dz @ W1.T
    return dx, dW1, db1, dW2, db2


WRONG = [
    ("dx = dtotal + dz @ W1.T", "dx = dz @ W1.T", "no residual connection"),
    ("dx = dtotal + dz @ W1.T", "dx = dtotal", "only the residual connection"),
    ("dx = dtotal + dz @ W1.T", "dx = dout + dz @ W1.T", "the mask on the residual connection"),
    ("dout = mask * dtotal", "dout = dtotal", "no mask"),
    ("dout = mask * dtotal", "dout = (mask > 0) * dtotal", "mask without its factor"),
    (" * (hidden > 0)", "", "no relu"),
    ("dz.sum(0)", "dz.mean(0) * 0.9", "db1 a mean"),
]
