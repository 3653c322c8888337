import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a bag whose words have weights: the backward pass"
TASK = """
Rare words should count more, so every place p of a bag has a weight w_p above 0, which is learned too. For bag i
    y_i = Σ_p w_p table[ids_p] / Σ_p w_p      over its places p = offsets[i] … offsets[i+1] - 1; zeros for an empty bag
Write weighted_bag_grad(dy, table, ids, w, offsets) (about 9 lines).
    dy [N,E]  the derivative of the loss by y;  table [V,E];  ids, w [P]  of all bags, one after another;  offsets [N+1]
    returns dtable [V,E], dw [P]
"""
STUB = """\
import numpy as np


def weighted_bag_grad(dy, table, ids, w, offsets):  # [N,E], [V,E], [P], [P], [N+1] -> [V,E], [P]
    dtable, dw = np.zeros_like(table), np.zeros_like(w)
    # YOUR CODE (about 9 lines)
    ...
    return dtable, dw
"""
HINTS = (
    "Take one bag and call t = Σ w_p. A row of the table stands in y with the factor w_p / t. A weight stands in the "
    "numerator, and in t below it: two uses, so two terms. Write the derivative of y by w_p with the quotient rule.",
    "∂y_i/∂w_p = (table[ids_p] - y_i) / t. So dw_p = <dy_i, table[ids_p] - y_i> / t, and dtable[ids_p] gets w_p / t times dy_i.",
)
EXPLAIN = """
Why it is so: the quotient rule gives row/t for the numerator and -(Σ w row)/t² for the denominator, together (row - y)/t. A
word whose row is what the bag says anyway has dw = 0: only what differs from the mean counts. Lesson 07 meets the same form
in the softmax, and an attention is such a bag whose weights come from scores.
"""


def check(answer, rng):
    for N, V, E in ((5, 4, 3), (3, 7, 2), (2, 3, 1)):
        sizes = rng.integers(1, 5, size=N)
        sizes[0], sizes[1:2] = 4, 0
        offsets, table = np.append(0, np.cumsum(sizes)), rng.standard_normal((V, E))
        ids, w, r = rng.integers(V, size=offsets[-1]), rng.uniform(0.5, 2, size=offsets[-1]), rng.standard_normal((N, E))
        ids[:2] = ids[0]
        bags = [slice(*offsets[i : i + 2]) for i in range(N)]

        def f(_, table=table, w=w, ids=ids, r=r, bags=bags):
            return sum((r[i] * (w[b] @ table[ids[b]] / w[b].sum())).sum() for i, b in enumerate(bags) if b.stop > b.start)

        unweighted, no_total, once, plain = np.zeros((4, V, E))
        constant, no_division = np.zeros((2, len(w)))
        for i, b in enumerate(bags):
            if b.stop == b.start:
                continue
            total, mean = w[b].sum(), w[b] @ table[ids[b]] / w[b].sum()
            share = np.ones((b.stop - b.start, 1)) * r[i]
            np.add.at(unweighted, ids[b], share / total)
            np.add.at(plain, ids[b], share / len(share))
            np.add.at(no_total, ids[b], w[b][:, None] * share)
            once[ids[b]] += w[b][:, None] * share / total
            constant[b] = table[ids[b]] @ r[i] / total
            no_division[b] = (table[ids[b]] - mean) @ r[i]
        dtable, dw = answer.weighted_bag_grad(r, table, ids, w, offsets)
        yield Case(
            f"dtable of {N} bags",
            dtable,
            numeric_gradient(f, table),
            {
                "the factor w of each place is missing": unweighted,
                "the division by the sum of the weights is missing": no_total,
                "repeats are lost: add place by place, or with np.add.at": once,
                "each place counts with its weight, not all alike": plain,
            },
        )
        yield Case(
            f"dw of {N} bags",
            dw,
            numeric_gradient(f, w),
            {
                "the denominator holds w as well": constant,
                "the division by the sum of the weights is missing": no_division,
            },
        )
