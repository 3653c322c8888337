def softmax_backward(da, a):  # [n,m], [n,m] -> [n,m]
    inner = (a * da).sum(1, keepdims=True)
    return a * (da - inner)


WRONG = [
    ("a * (da - inner)", "a * da", "second term"),
    ("a * (da - inner)", "a * (1 - a) * da", "diagonal only"),
    (".sum(1, keepdims=True)", ".sum()", "sum over the array"),
    (".sum(1, keepdims=True)", ".sum(0)", "sum down the columns"),
    ("(a * da).sum", "da.sum", "sum without weights"),
    ("return a * (da - inner)", "return da - inner", "outer factor"),
    ("inner = (a * da)", "da *= 1.5\n    inner = (a * da)", "writes into its input"),
]
