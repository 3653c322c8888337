def perceptron_grad(dy, x, W, y):  # [N,O], [N,I], [I,O], [N,O] -> [N,I], [I,O], [O]
    dz = dy * (y > 0)
    return dz @ W.T, x.T @ dz, dz.sum(0)


WRONG = [
    ("dy * (y > 0)", "dy", "no gate"),
    ("(y > 0)", "(dy > 0)", "gated by the gradient"),
    ("(y > 0)", "y", "times y"),
    ("dz.sum(0)", "dz.mean(0)", "mean"),
    ("dz.sum(0)", "dy.sum(0)", "the bias past the gate"),
    ("x.T @ dz", "(dz.T @ x)", "dW transposed"),
    ("dz @ W.T", "dz @ (W if W.shape[0] == W.shape[1] else W.T)", "W not transposed"),
    ("x.T @ dz,", "x.T @ dz / len(x),", "mean over rows"),
    (", dz.sum(0)", "", "db forgotten"),
    ("return dz @ W.T, x.T @ dz, dz.sum(0)", "return ()", "nothing at all"),
]
