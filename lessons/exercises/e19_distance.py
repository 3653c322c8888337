import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "the same triples, by distances"
TRANSFER = True
TASK = """
Collaborative metric learning (Hsieh et al., 2017) puts users and objects into one space: a user should be nearer to what
they took than to a negative, by a margin m. With D(a, b) = the sum of (a_k - b_k)²,
    L = mean over the triples of max(0, m + D(u, i) - D(u, j))
Write distance_gradient(user, item, u, i, j, m) (about 10 lines).
    user  [A,E]   item  [M,E]   rows of users and objects       u, i, j  [X]  triples, with repeats       m  the margin, a number
    returns duser [A,E], ditem [M,E], the derivatives of L
"""
STUB = """\
import numpy as np


def distance_gradient(user, item, u, i, j, m):  # [A,E], [M,E], [X], [X], [X], number -> [A,E], [M,E]
    # YOUR CODE (about 10 lines)
    ...
"""
HINTS = (
    "First z [X], the number inside max(0, ·). Which triples have a slope at all? For these, differentiate D(u, i) by u "
    "and by i: a square gives a 2, and the inner sign differs.",
    "With w = [z > 0] / X: du = 2 w ((u - i) - (u - j)) = 2 w (j - i); di = -2 w (u - i); dj = 2 w (u - j). Collect with "
    "np.add.at.",
)
EXPLAIN = """
Why it is so: the user's own row falls out of its gradient, 2 (j - i): all users who met this pair move the same way. And
max(0, ·) has a clear end: a triple that keeps the margin pulls no more, while BPR's pull only fades. So near the end of
training most triples are idle, and one looks for hard negatives (lesson 27).
"""


def check(answer, rng):
    for A, M, X in ((2, 3, 1), (3, 5, 7), (5, 7, 13)):
        while True:
            user, item = rng.standard_normal((A, 3)), rng.standard_normal((M, 3))
            u, i = rng.integers(A, size=X), rng.integers(M, size=X)
            j = (i + rng.integers(1, M, size=X)) % M
            m = rng.uniform(0.2, 1)
            z = m + ((user[u] - item[i]) ** 2).sum(1) - ((user[u] - item[j]) ** 2).sum(1)
            if np.abs(z).min() > 0.01 and (z > 0).any() and (X == 1 or (z < 0).any()):
                break

        def loss(_, user=user, item=item, u=u, i=i, j=j, m=m):
            total = 0.0
            for a, b, c in zip(u, i, j):
                near = sum((user[a, k] - item[b, k]) ** 2 for k in range(3))
                far = sum((user[a, k] - item[c, k]) ** 2 for k in range(3))
                total += max(0.0, m + near - far)
            return total / len(u)

        right_user, right_item = numeric_gradient(loss, user), numeric_gradient(loss, item)

        def collect(w, user=user, item=item, u=u, i=i, j=j):
            duser, ditem = np.zeros_like(user), np.zeros_like(item)
            np.add.at(duser, u, 2 * w * (item[j] - item[i]))
            np.add.at(ditem, i, -2 * w * (user[u] - item[i]))
            np.add.at(ditem, j, 2 * w * (user[u] - item[j]))
            return duser, ditem

        lost_user, lost_item = np.zeros_like(user), np.zeros_like(item)
        w = (z > 0)[:, None] / X
        lost_user[u] += 2 * w * (item[j] - item[i])
        lost_item[i] += -2 * w * (user[u] - item[i])
        lost_item[j] += 2 * w * (user[u] - item[j])
        everywhere = collect(np.ones((X, 1)) / X)
        causes = [{}, {}]
        if X > 1:
            causes = [
                {
                    "a triple that keeps the margin has no slope: [z > 0]": of_all,
                    "repeated rows are lost: use np.add.at": lost,
                    "the mean over the triples is missing": right * X,
                    "a square gives a factor 2": right / 2,
                }
                for of_all, lost, right in zip(everywhere, (lost_user, lost_item), (right_user, right_item))
            ]
        duser, ditem = answer.distance_gradient(user, item, u, i, j, m)
        yield Case(f"duser [{A},3] of {X} triples", duser, right_user, causes[0])
        yield Case(f"ditem [{M},3] of {X} triples", ditem, right_item, causes[1])
