import math

import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "groups that are weighted by a learned number"
TRANSFER = True
TASK = """
In all2all a group counts by its number of targets. Another way (Kendall et al., 2018) learns a number c_g for each group:
how sure the model may be of it. Over the groups that the batch has targets of,
    L = sum over g of ( exp(-c_g) L_g + c_g / 2 )        L_g = mean over the targets t of g of softplus(f_t) - y_t f_t
Write weighted(f, y, group, c) (about 10 lines).
    f, y [T]  scores and labels 0 or 1      group  [T]  numbers from 0 to G - 1, in any order      c  [G]
    returns a tuple: L, df [T], dc [G]      (a group without targets in the batch: no part of L, and 0 in dc)
"""
STUB = """\
import numpy as np


def weighted(f, y, group, c):  # [T], [T], [T], [G] -> number, [T], [G]
    # YOUR CODE (about 10 lines)
    ...
"""
HINTS = (
    "A loop over the groups. For one group: which targets are its own, what is L_g, and by which number is its part of the "
    "gradient multiplied? c_g stands in two places of L.",
    "df[own] = exp(-c_g) (s(f) - y) / T_g with T_g = own.sum(); dc_g = -exp(-c_g) L_g + 1/2. Skip a group with T_g = 0.",
)
EXPLAIN = """
Why it is so: where dc_g = 0, exp(c_g) = 2 L_g: a group with a large loss gets a large c and a small weight. A group that is
hard because it is noise then disturbs the others less. The term c_g / 2 is what keeps c from growing for ever. Within a
group nothing is new: each target pulls with its share 1/T_g, however many targets the other groups have.
"""


def check(answer, rng):
    for group, G in (([0, 0], 1), ([0, 1, 0, 1, 1], 2), ([2, 0, 2, 0, 0, 2, 2], 4)):
        group = np.array(group)
        T = len(group)
        f, y, c = rng.standard_normal(T), rng.integers(2, size=T).astype(float), rng.standard_normal(G)

        def parts(f, y=y, group=group, G=G):
            found = {}
            for g in range(G):
                own = [math.log(1 + math.exp(x)) - label * x for x, label, of in zip(f, y, group) if of == g]
                if own:
                    found[g] = sum(own) / len(own)
            return found

        def loss(f, c, parts=parts):
            return sum(math.exp(-c[g]) * value + c[g] / 2 for g, value in parts(f).items())

        yours = answer.weighted(f, y, group, c)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 3:
            yield Case("a tuple of three: L, df, dc. How many came back", came, 3)
            return
        right_f = numeric_gradient(lambda f, c=c, loss=loss: loss(f, c), f)
        right_c = numeric_gradient(lambda c, f=f, loss=loss: loss(f, c), c)
        size = np.bincount(group, minlength=G)[group]
        no_half = np.array([right_c[g] - 0.5 * (g in parts(f)) for g in range(G)])
        empty = np.array([right_c[g] + 0.5 * (g not in parts(f)) for g in range(G)])
        causes = {"each group has its own number of targets: divide by T_g, not by T": right_f * size / T} if G > 1 else {}
        if G > 1:
            causes["exp(-c_g) stands before L_g"] = right_f * np.exp(c[group])
        yield Case(
            f"L, groups {group.tolist()}",
            yours[0],
            loss(f, c),
            {"the groups' c_g / 2 is missing": loss(f, c) - sum(c[g] for g in parts(f)) / 2},
        )
        yield Case(f"df, groups {group.tolist()}", yours[1], right_f, causes)
        own = {"c_g stands in L twice: the term c_g / 2 has the slope 1/2": no_half}
        if G == 4:
            own["a group without targets has no part in L"] = empty
        yield Case(f"dc, groups {group.tolist()}", yours[2], right_c, own)
