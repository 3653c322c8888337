import numpy as np

from atrank_np.layers.embedding import Rows
from atrank_np.optimizer import SGD, unscaled
from lessons.exercises import Case

TITLE = "a step of SGD that is lazy and exact"
TASK = """
A table [V,E] is stored as v, divided by the number s: what is meant is w = s v. Write lazy_step(v, s, ids, g, rate, l2)
(about 4 lines) for the step w <- (1 - rate · l2) w - rate · g on the whole table.
    ids  [R]    sorted, each once       g  [R,E]  the gradient by w of these rows; all other rows have 0
    returns a tuple: the new v (a new array), the new s. In the new v, only the rows ids differ from the old one.
"""
STUB = """\
import numpy as np


def lazy_step(v, s, ids, g, rate, l2):  # [V,E], number, [R], [R,E], number, number -> [V,E], number
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "The shrinking of all rows is one multiplication of s. Which s must then stand in the step of the touched rows?",
    "s' = (1 - rate · l2) s, and s' v' = s' v - rate · g: divide by s'. Copy v before you write into it.",
)
EXPLAIN = """
Why it is so: a table of 63,001 rows decays in one multiplication, and a step writes only the rows of its batch. It is exact: the
dense twin and this step agree to rounding, for every row, also those that were never touched.
"""


def check(answer, rng):
    for V, E in ((3, 2), (11, 5), (7, 1)):
        v, s, rate, l2 = rng.standard_normal((V, E)), rng.uniform(0.3, 0.9), rng.uniform(0.1, 1), rng.uniform(0.1, 0.5)
        ids = np.sort(rng.permutation(V)[: max(1, V // 3)])
        g = rng.standard_normal((len(ids), E))
        stored, sgd = {"table.x": v.copy()}, SGD(0, s)
        sgd.apply(stored, {"table.x": Rows(ids, g)}, rate, l2)
        meant = unscaled(stored, sgd.table_scale)["table.x"]
        yours = answer.lazy_step(v, s, ids, g, rate, l2)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("a tuple of two: v and s. How many came back", came, 2)
            return
        new_v, new_s = yours
        keep = 1 - rate * l2

        def wrong(factor, s=s, v=v, ids=ids, g=g, keep=keep):
            w = keep * s * v
            w[ids] -= factor * g
            return w

        touched = s * v
        touched[ids] = meant[ids]
        yield Case("the new s", new_s, sgd.table_scale, {"s has not shrunk": s, "s shrinks by multiplication": s - rate * l2})
        yield Case(
            f"the table that is meant, s v [{V},{E}]",
            new_s * np.asarray(new_v),
            meant,
            {
                "the gradient must be divided by s': it is by w, and you write into v": wrong(rate * keep * s),
                "divide by the NEW s, it is what v will be multiplied with": wrong(rate * keep),
                "only the touched rows decay: all rows must": touched,
            },
        )
        others = np.setdiff1d(np.arange(V), ids)
        yield Case("the rows of v that no id names", np.asarray(new_v)[others], v[others])
