import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.ranking import sigmoid, softplus
from lessons.exercises import Case

TITLE = "BPR-MF: the gradient of triples"
TASK = """
Write triples_gradient(user, item, u, i, j) (about 8 lines).
    user  [A,E]  a row for each user
    item  [M,E]  a row for each object
    u, i, j  [X]  triples: user u[x] chose i[x] and never touched j[x]. Users and objects repeat, and an object may be chosen in
             one triple and refused in another
    returns duser [A,E], ditem [M,E], the derivatives of the mean over the triples of -log σ(u · (i - j))
"""
STUB = """\
import numpy as np


def triples_gradient(user, item, u, i, j):  # [A,E], [M,E], [X], [X], [X] -> [A,E], [M,E]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "First the margins x [X], and dx = -σ(-x) / X. What does each of the three vectors of a triple get of its dx? Write it "
    "for one triple, with numbers.",
    "The user's row gets dx (i - j), the chosen object's dx u, the other's -dx u. Collect them in arrays of zeros with "
    "np.add.at: once for users, twice into the same array for objects.",
)
EXPLAIN = """
Why it is so: the three of a triple pull at each other by the same force σ(-x), which fades when the order is right. That is all
of BPR-MF. No other user and no other object is touched, and so a step costs 3 rows, whatever the size of the shop.
"""


def check(answer, rng):
    for A, M, X in ((2, 3, 1), (3, 5, 7), (5, 7, 13)):
        user, item = rng.standard_normal((A, 3)), rng.standard_normal((M, 3))
        u = rng.integers(A, size=X)
        i = rng.integers(M, size=X)
        j = (i + rng.integers(1, M, size=X)) % M
        loss = lambda _, user=user, item=item, u=u, i=i, j=j: softplus(-(user[u] * (item[i] - item[j])).sum(1)).mean()
        expected = numeric_gradient(loss, user), numeric_gradient(loss, item)
        dx = -sigmoid(-(user[u] * (item[i] - item[j])).sum(1))[:, None] / X
        lost_user, of_sum, lost_item, chosen_only = (np.zeros_like(w) for w in (user, user, item, item))
        lost_user[u] += dx * (item[i] - item[j])
        lost_item[i] += dx * user[u]
        lost_item[j] -= dx * user[u]
        np.add.at(chosen_only, i, dx * user[u])
        np.add.at(of_sum, u, dx * (item[i] + item[j]))
        lost = "repeated rows are lost: `d[rows] += …` keeps one share of each row"
        total = "the mean over the triples is missing"
        up = "the sign is flipped: this walks towards the wrong order"
        duser, ditem = answer.triples_gradient(user, item, u, i, j)
        yield Case(
            f"duser [{A},3] of {X} triples",
            duser,
            expected[0],
            {
                lost: lost_user,
                total: expected[0] * X,
                up: -expected[0],
                "x is u · (i - j): the other object counts negatively": of_sum,
            },
        )
        yield Case(
            f"ditem [{M},3] of {X} triples",
            ditem,
            expected[1],
            {
                lost: lost_item,
                total: expected[1] * X,
                up: -expected[1],
                "the refused objects get nothing": chosen_only,
            },
        )
