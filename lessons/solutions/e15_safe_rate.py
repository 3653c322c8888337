import numpy as np


def safe_rate(e, p):  # [T,D], [T] -> number
    bend = (e.T * (p * (1 - p))) @ e / len(e)
    return 2 / np.linalg.eigvalsh(bend)[-1]


WRONG = [
    (" / len(e)", "", "mean"),
    ("(p * (1 - p))", "p", "only p"),
    ("(p * (1 - p))", "(p * (1 - p)) ** 0.5", "root"),
    ("2 / np", "1 / np", "half of it"),
    ("[-1]", "[0]", "smallest"),
    ("[-1]", ".sum()", "the trace"),
]
