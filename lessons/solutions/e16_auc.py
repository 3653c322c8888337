import numpy as np


def average_user_auc(scores, label, offsets):  # [T], [T], [S+1] -> number
    users = []
    for start, end in zip(offsets[:-1], offsets[1:]):
        mine, chosen = scores[start:end], label[start:end] == 1
        plus, minus = mine[chosen][:, None], mine[~chosen][None]
        users.append((plus > minus).mean() + 0.5 * (plus == minus).mean())
    return np.mean(users)


WRONG = [
    (" + 0.5 * (plus == minus).mean()", "", "ties lost"),
    ("0.5 * (plus == minus)", "(plus == minus)", "ties won"),
    ("zip(offsets[:-1], offsets[1:])", "[(0, len(scores))]", "one pot"),
    ("(plus > minus)", "(plus < minus)", "upside down"),
    ("label[start:end] == 1", "label[start:end] == 0", "labels swapped"),
    ("np.mean(users)", "np.sum(users)", "no mean over users"),
    (
        "        users.append((plus > minus).mean() + 0.5 * (plus == minus).mean())\n    return np.mean(users)",
        "        users.extend(((plus > minus) + 0.5 * (plus == minus)).ravel())\n    return np.mean(users)",
        "mean over pairs",
    ),
]
