import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a bag that keeps the largest number of each column"
TRANSFER = True
TASK = """
In place of the mean, a bag may take the maximum, column by column: y_ie = the largest table[v, e] over the words v of bag i, and
zeros for an empty bag.
Write max_bag(table, ids, offsets) (about 6 lines) and max_bag_grad(dy, table, ids, offsets) (about 8 lines).
    table [V,E];  ids [P]  the words of all bags, one after another;  offsets [N+1];  dy [N,E]  the derivative of the loss by y
    max_bag returns y [N,E]; max_bag_grad returns dtable [V,E]
A word may stand in a bag several times, and in several bags. Different words never have equal numbers.
"""
STUB = """\
import numpy as np


def max_bag(table, ids, offsets):  # [V,E], [P], [N+1] -> [N,E]
    # YOUR CODE (about 6 lines)
    ...


def max_bag_grad(dy, table, ids, offsets):  # [N,E], [V,E], [P], [N+1] -> [V,E]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "If the largest number of a column grows a little, y grows as much; if another one grows, y stays. So each dy_ie goes "
    "to one row only. What if that row's word stands in the bag twice: does y grow twice as fast?",
    "For each bag with words and each column: v = bag[table[bag, e].argmax()] and dtable[v, e] += dy[i, e]. argmax takes "
    "the first of equal ones, so a word that stands twice gets its share once.",
)
EXPLAIN = """
Why it is so: a maximum passes on what comes back to the one number that won, with slope 1; all others have slope 0. A word
that stands twice is the same row of the table, and y is this row's number, not twice of it: so the share comes once, unlike
in the mean. Between bags shares still add up. The CNN of lesson 21 takes such a maximum over time.
"""


def check(answer, rng):
    for N, V, E in ((5, 4, 3), (3, 7, 2), (4, 3, 5)):
        sizes = rng.integers(1, 5, size=N)
        sizes[0], sizes[1] = 4, 0
        offsets, table = np.append(0, np.cumsum(sizes)), rng.permutation(V * E).reshape(V, E) - V * E / 2
        ids, r = rng.integers(V, size=offsets[-1]), rng.standard_normal((N, E))
        ids[:3] = ids[0]
        bags = [ids[offsets[i] : offsets[i + 1]] for i in range(N)]

        def f(_, table=table, r=r, bags=bags):
            return sum((r[i] * table[bag].max(0)).sum() for i, bag in enumerate(bags) if len(bag))

        y, zero_start = np.zeros((2, N, E))
        mean, twice, overwritten = np.zeros((3, V, E))
        for i, bag in enumerate(bags):
            if len(bag):
                y[i] = table[bag].max(0)
                zero_start[i] = np.maximum(y[i], 0)
            for v in bag:
                mean[v] += r[i] / len(bag)
                twice[v] += r[i] * (table[v] == y[i])
                overwritten[v] = np.where(table[v] == y[i], r[i], overwritten[v])
        yield Case(
            f"y of {N} bags",
            answer.max_bag(table, ids, offsets),
            y,
            {"a maximum that starts at 0 is wrong where all numbers are below 0": zero_start},
        )
        yield Case(
            f"dtable of {N} bags",
            answer.max_bag_grad(r, table, ids, offsets),
            numeric_gradient(f, table),
            {
                "that is the gradient of a mean": mean,
                "a word that stands twice in a bag is one row: its share comes once": twice,
                "a row that wins in several bags, or columns, gets the sum": overwritten,
            },
        )
