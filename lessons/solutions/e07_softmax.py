def softmax_backward(da, a):  # [rows,n], [rows,n] -> [rows,n]
    inner = (a * da).sum(1, keepdims=True)
    return a * (da - inner)


WRONG = [
    ("a * (da - inner)", "a * da", "second term"),
    ("a * (da - inner)", "a * (1 - a) * da", "diagonal only"),
    (".sum(1, keepdims=True)", ".sum()", "sum over the array"),
    (".sum(1, keepdims=True)", ".sum(0)", "sum down the columns"),
    ("(a * da).sum", "da.sum", "sum without weights"),
    ("(a * da).sum", "da.mean", "plain mean"),
    ("return a * (da - inner)", "return da - inner", "outer factor"),
    ("return a * (da - inner)", "return a * da - inner", "factor before one term only"),
    ("inner = (a * da)", "da *= 1.5\n    inner = (a * da)", "writes into its input"),
]
