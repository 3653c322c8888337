import numpy as np


def distance_gradient(user, item, u, i, j, m):  # [A,E], [M,E], [X], [X], [X], number -> [A,E], [M,E]
    near, far = user[u] - item[i], user[u] - item[j]
    z = m + (near**2).sum(1) - (far**2).sum(1)
    w = (z > 0)[:, None] / len(u)
    duser, ditem = np.zeros_like(user), np.zeros_like(item)
    np.add.at(duser, u, 2 * w * (near - far))
    np.add.at(ditem, i, -2 * w * near)
    np.add.at(ditem, j, 2 * w * far)
    return duser, ditem


WRONG = [
    ("(z > 0)[:, None] / len(u)", "np.ones((len(u), 1)) / len(u)", "idle triples pull"),
    ("m + (near**2)", "(near**2)", "no margin"),
    ("np.add.at(duser, u, 2 * w * (near - far))", "duser[u] += 2 * w * (near - far)", "repeats lost"),
    ("np.add.at(ditem, i, -2 * w * near)", "ditem[i] += -2 * w * near", "repeats of objects lost"),
    ("    np.add.at(ditem, j, 2 * w * far)\n", "", "negatives get nothing"),
    ("2 * w * (near - far)", "2 * w * near", "the user's second use lost"),
    ("-2 * w * near", "2 * w * near", "the object runs away"),
    (" / len(u)", "", "a sum in place of a mean"),
]
