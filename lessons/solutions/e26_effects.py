from atrank_np.layers.attention import softmax_backward, softmax_forward


def effects(x, v, dc):  # [n], [n,d], [d] -> [n]
    a, _ = softmax_forward(x)
    return softmax_backward(v @ dc, a) / (1 - a)


WRONG = [
    (" / (1 - a)", "", "the first step only"),
    ("(1 - a)", "(a - 1)", "the sign"),
    ("softmax_backward(v @ dc, a)", "a * (v @ dc)", "without the mean"),
    ("softmax_backward(v @ dc, a)", "a * (v @ dc - (v @ dc).mean())", "the mean of the values, without weights"),
]
