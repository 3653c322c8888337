import numpy as np

from atrank_np.gradcheck import dense
from atrank_np.layers.embedding import lookup_backward
from lessons.exercises import Case

TITLE = "embedding lookup: the backward pass"
TASK = """
Write lookup_grad(dy, ids, V) (about 2 lines). The forward pass was y = table[ids].
    dy   [N,E]  the derivative of the loss by y
    ids  [N]    which row of the table each row of y is; ids repeat
    V           the number of rows of the table
    returns dtable [V,E], the whole array, with zeros where nothing came
"""
STUB = """\
import numpy as np


def lookup_grad(dy, ids, V):  # [N,E], [N], number -> [V,E]
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "Begin with zeros. Row v is the sum of all dy[n] with ids[n] = v: a loop over n is right. Is it still right without a loop?",
    "NumPy has an unbuffered addition for repeated indices, the method `at` of np.add. The one-hot matrix, transposed, times dy "
    "gives the same.",
)
EXPLAIN = """
Why it is so: a row of the table that is looked up three times has three uses, and the gradients of uses add up.
dtable[ids] += dy reads all rows, adds and writes them back, so a repeated row keeps only its last use. Without
repeats it is right, which is why tests with ids such as 0, 1, 2 never find it: check with repeats.
"""


def check(answer, rng):
    for N, V, E in ((7, 5, 3), (2, 3, 1), (13, 4, 2), (0, 3, 2)):
        ids, dy = rng.integers(V, size=N), rng.standard_normal((N, E))
        ids[: N // 2] = ids[:1]  # repeats for certain, if there are two halves
        last, mean = np.zeros((V, E)), np.zeros((V, E))
        last[ids] += dy
        for v in set(ids.tolist()):
            mean[v] = dy[ids == v].mean(0)
        expected = dense(lookup_backward(dy, ids), (V, E))
        yield Case(
            f"dtable of {N} lookups in {V} rows",
            answer.lookup_grad(dy, ids, V),
            expected,
            {
                "repeats are lost: an id that stands there twice must get the sum": last,
                "the mean over the uses instead of their sum": mean,
            },
        )
