import numpy as np


def triples_gradient(user, item, u, i, j):  # [A,E], [M,E], [X], [X], [X] -> [A,E], [M,E]
    p, apart = user[u], item[i] - item[j]
    x = (p * apart).sum(1)
    dx = (-1 / (1 + np.exp(x)) / len(x))[:, None]
    duser, ditem = np.zeros_like(user), np.zeros_like(item)
    np.add.at(duser, u, dx * apart)
    np.add.at(ditem, i, dx * p)
    np.add.at(ditem, j, -dx * p)
    return duser, ditem


WRONG = [
    ("np.add.at(duser, u, dx * apart)", "duser[u] += dx * apart", "lost repeats of users"),
    ("np.add.at(ditem, i, dx * p)", "ditem[i] += dx * p", "lost repeats of objects"),
    ("    np.add.at(ditem, j, -dx * p)\n", "", "the refused ones forgotten"),
    ("-dx * p", "dx * p", "the refused ones pulled along"),
    (" / len(x)", "", "no mean"),
    ("-1 / (1", "1 / (1", "sign"),
    ("np.exp(x)", "np.exp(-x)", "σ of the wrong side"),
    ("np.add.at(duser, u, dx * apart)", "np.add.at(duser, u, dx * item[i])", "the user hears of the chosen one only"),
]
