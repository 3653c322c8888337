import numpy as np

from lessons.exercises import Case

TITLE = "bug hunt: an Adam that is right in most batches"
TASK = """
The file holds a stranger's lazy Adam for the rows of a table. ids [N] come as they stand in the batch: unsorted, perhaps with
repeats. g [N,E] are the gradients of each place. Rows without an id wait, with their moments. The function has passed its
author's test: random gradients, V = 1000 rows, a batch of 5. Yet it is wrong. Find out for which batches, then mend it.
    Build a test first: small V, and the loops of lesson 28 as the truth. In what do right and wrong batches differ?
    w, mean, square  [V,E], step: 1, 2, …      returns a tuple: the new w, mean, square (new arrays)
"""
STUB = """\
import numpy as np


def adam(w, mean, square, ids, g, step, rate):  # [V,E] three times, [N], [N,E] -> [V,E] three times
    w, mean, square = w.copy(), mean.copy(), square.copy()
    rows, place = np.unique(ids, return_inverse=True)
    total = np.zeros((len(rows), w.shape[1]))
    energy = np.zeros((len(rows), w.shape[1]))
    for k in range(len(ids)):
        total[place[k]] += g[k]
        energy[place[k]] += g[k] ** 2
    mean[rows] = 0.9 * mean[rows] + 0.1 * total
    square[rows] = 0.999 * square[rows] + 0.001 * energy
    up = mean[rows] / (1 - 0.9**step)
    down = np.sqrt(square[rows] / (1 - 0.999**step)) + 1e-8
    np.subtract.at(w, ids, rate * (up / down)[place])
    return w, mean, square
"""
HINTS = (
    "It is right whenever all ids of a batch differ. So look at what happens to a row that stands twice. There are TWO faults; "
    "each alone would spoil such a batch.",
    "A row has one gradient, the sum, and s takes its square: total ** 2. And a row takes one step in a batch, not one for each "
    "place: w[rows] -= rate * up / down.",
)
EXPLAIN = """
Why it is so: the loss depends on a row through all places where it stands, and its gradient is the sum over them. Adam's rule is
not linear in the gradient, so it must see that sum, once. With SGD both faults would be invisible: its step is linear, and adding
two steps is the step of the sum. That is how code that was right for SGD becomes wrong when somebody changes the optimiser.
"""


def truth(w, mean, square, ids, g, step, rate):
    w, mean, square = w.copy(), mean.copy(), square.copy()
    for i in set(ids.tolist()):
        for e in range(w.shape[1]):
            total = sum(g[k, e] for k in range(len(ids)) if ids[k] == i)
            mean[i, e] = 0.9 * mean[i, e] + 0.1 * total
            square[i, e] = 0.999 * square[i, e] + 0.001 * total**2
            w[i, e] -= rate * mean[i, e] / (1 - 0.9**step) / (np.sqrt(square[i, e] / (1 - 0.999**step)) + 1e-8)
    return w, mean, square


def check(answer, rng):
    for V, E, ids in ((6, 2, [4, 1, 3]), (4, 3, [2, 0, 2]), (5, 1, [1, 1, 1, 4, 0, 4])):
        ids = np.array(ids)
        state = rng.standard_normal((V, E)), 0.1 * rng.standard_normal((V, E)), 0.1 * rng.random((V, E))
        g, step, rate = rng.standard_normal((len(ids), E)), int(rng.integers(1, 50)), rng.uniform(0.1, 1)
        yours = answer.adam(*state, ids, g, step, rate)
        for name, new, expected in zip(("w", "mean", "square"), yours, truth(*state, ids, g, step, rate), strict=True):
            yield Case(f"{name}, ids {ids.tolist()}", new, expected)
