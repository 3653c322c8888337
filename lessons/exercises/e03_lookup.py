import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "the difference of two rows: the backward pass"
TASK = """
Some models compare two objects: y_n = table[plus_n] - 2 table[minus_n].
Write difference_grad(dy, plus, minus, V) (about 4 lines).
    dy           [N,E]  the derivative of the loss by y
    plus, minus  [N]    rows of the table; ids repeat, in each of the two and between them; plus_n may be equal to minus_n
    V                   the number of rows of the table
    returns dtable [V,E], the whole array, with zeros where nothing came
"""
STUB = """\
import numpy as np


def difference_grad(dy, plus, minus, V):  # [N,E], [N], [N], number -> [V,E]
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "Write y_ne with its factors, and ask where one number of the table stands, and with which factor. Then: does your code "
    "still add where an id stands twice?",
    "NumPy has an addition that keeps repeats: np.add.at(dtable, plus, dy). The second one adds -2 * dy at minus.",
)
EXPLAIN = """
Why it is so: a factor of the forward pass is a factor of the backward pass, so minus gets -2 dy; and all uses of a row add
up, whether as plus or as minus. dtable[plus] += dy reads all rows, adds and writes them back, so a repeated row keeps only
its last use. Without repeats it is right, which is why tests with ids such as 0, 1, 2 never find it.
"""


def check(answer, rng):
    for N, V, E in ((7, 5, 3), (4, 3, 1), (13, 4, 2), (0, 3, 2)):
        plus, minus = rng.integers(V, size=(2, N))
        plus[: N // 2] = plus[:1]  # repeats for certain
        minus[: N // 3] = plus[: N // 3]
        table, dy = rng.standard_normal((V, E)), rng.standard_normal((N, E))
        expected = numeric_gradient(lambda t, p=plus, m=minus, r=dy: (r * (t[p] - 2 * t[m])).sum(), table)
        last, signs, ones, first, half_plus, half_minus = np.zeros((6, V, E))
        last[plus] += dy
        last[minus] -= 2 * dy
        half_plus[plus] += dy
        np.add.at(half_plus, minus, -2 * dy)
        np.add.at(half_minus, plus, dy)
        half_minus[minus] -= 2 * dy
        for gradient, factor in ((signs, 2), (ones, -1), (first, 0)):
            np.add.at(gradient, plus, dy)
            np.add.at(gradient, minus, factor * dy)
        yield Case(
            f"dtable of {N} differences in {V} rows",
            answer.difference_grad(dy, plus, minus, V),
            expected,
            {
                "repeats are lost: an id that stands there twice must get the sum": last,
                "repeats in plus are lost": half_plus,
                "repeats in minus are lost": half_minus,
                "the sign of the second row is lost": signs,
                "the factor 2 of the second row is lost": ones,
                "the second row is used as well": first,
            },
        )
