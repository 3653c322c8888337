import numpy as np

from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.embedding import bag_forward
from lessons.exercises import Case

TITLE = "a bag of words: the backward pass"
TASK = """
Write bag_grad(dy, ids, offsets, V) (about 5 lines). The forward pass was, for each bag i,
y_i = mean of table[v] over v in ids[offsets[i] : offsets[i+1]], and zeros for an empty bag.
    dy       [N,E]  the derivative of the loss by y
    ids      [P]    the words of all bags, one bag after another; repeats count
    offsets  [N+1]  where the bags begin and end
    V               the number of rows of the table
    returns dtable [V,E]
"""
STUB = """\
import numpy as np


def bag_grad(dy, ids, offsets, V):  # [N,E], [P], [N+1], number -> [V,E]
    dtable = np.zeros((V, dy.shape[1]))
    # YOUR CODE (about 5 lines)
    ...
    return dtable
"""
HINTS = (
    "Take one bag of m words: each of its words has the factor 1/m in y_i. What does each of them get back from dy_i?",
    "Two loops: over the bags, and over the words of a bag. Add the bag's upstream row, divided by the number of its words, to "
    "the row of the word. The inner loop of an empty bag has no turns, so there is nothing to divide.",
)
EXPLAIN = """
Why it is so: the mean has the factor 1/m in front of every row, and a factor of the forward pass is a factor of the
backward pass. A word that stands twice in a bag is used twice, so it gets 2/m. An empty bag depends on no row and
gives nothing.
"""


def check(answer, rng):
    for N, V, E in ((5, 4, 3), (3, 7, 2), (1, 2, 1)):
        sizes = rng.integers(0, 5, size=N)
        sizes[0] = 4
        sizes[1:2] = 0
        offsets, table = np.append(0, np.cumsum(sizes)), rng.standard_normal((V, E))
        ids, dy = rng.integers(V, size=offsets[-1]), rng.standard_normal((N, E))
        ids[:2] = ids[0]
        expected = numeric_gradient(lambda t, i=ids, o=offsets, r=dy: (r * bag_forward(t, i, o)[0]).sum(), table)
        bag = np.repeat(np.arange(N), sizes)
        summed, lost, once = np.zeros((3, V, E))
        np.add.at(summed, ids, dy[bag])
        lost[ids] += dy[bag] / sizes[bag][:, None]
        for i in range(N):
            for v in set(ids[offsets[i] : offsets[i + 1]].tolist()):
                once[v] += dy[i] / sizes[i]
        yield Case(
            f"dtable of {N} bags",
            answer.bag_grad(dy, ids, offsets, V),
            expected,
            {
                "the 1/size of the mean is missing": summed,
                "repeats are lost: add word by word, or with np.add.at": lost,
                "a word that stands twice in a bag must get its share twice": once,
            },
        )
