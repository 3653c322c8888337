import numpy as np


def ndcg(scores, k):  # [S,R], number -> number
    places = np.arange(scores.shape[1])
    gain = np.where(places < k, 1 / np.log2(places + 2), 0)
    total = 0.0
    for row in scores:
        above = (row[1:] > row[0]).sum()
        tied = (row[1:] == row[0]).sum()
        total += gain[above : above + tied + 1].mean()
    return total / len(scores)


WRONG = [
    ("gain[above : above + tied + 1].mean()", "gain[above]", "a tie is won"),
    ("gain[above : above + tied + 1].mean()", "gain[above + tied]", "a tie is lost"),
    ("gain[above : above + tied + 1].mean()", "gain[above : above + tied + 1].sum()", "a sum in place of a mean"),
    ("np.log2(places + 2)", "np.log2(places + 1.5)", "another discount"),
    ("places < k", "places <= k", "a place too many"),
    ("row[1:] == row[0]", "row == row[0]", "the positive is tied with itself"),
    ("return total / len(scores)", "return total", "no mean"),
]
