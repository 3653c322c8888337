import numpy as np

from lessons.exercises import Case

TITLE = "from scores to a recommendation"
TASK = """
Write top(scores, history, k) (about 3 lines).
    scores   [M]  a score for every row of the catalogue; row 0 stands for `unknown` objects and is never recommended
    history  [n]  the rows that the user has acted on; they are not recommended either; repeats occur
    k             how many; there are always enough objects left
    returns the rows of the k best others, best first. Leave `scores` as it is: it is not yours.
"""
STUB = """\
import numpy as np


def top(scores, history, k):  # [M], [n], number -> [k]
    # YOUR CODE (about 3 lines)
    ...
"""
HINTS = (
    "What score must an object have so that it can never be among the best? Give it to a copy, at row 0 and at the "
    "history's rows.",
    "Minus infinity. Then np.argsort of the scores, from the largest: sort the negated scores, and cut after k.",
)
EXPLAIN = """
Why it is so: the model was trained against objects that the user had not touched, so a score of something they know says
little; and row 0 is nobody's object. Whether known objects may come back is a decision about the shop (`target_repeats` in
the schema), not about the mathematics: write it down, and measure the same way as you recommend.
"""


def check(answer, rng):
    for M, n, k, shift in ((11, 3, 5, 0), (7, 1, 1, 0), (13, 7, 5, 0), (9, 1, 7, -3000)):  # all that are left, far below 0
        scores, history = rng.standard_normal(M) * (1 - shift) + shift, rng.integers(1, M, size=n)
        scores[0], scores[history[0]] = scores.max() + 1, scores.max() + 2  # they would win
        history = np.append(history, history[0])
        best = np.argsort(-scores)
        allowed = np.array([row for row in best if row not in history and row != 0])
        yield Case(
            f"top {k} of {M} rows",
            answer.top(scores, history, k),
            allowed[:k],
            {
                "these are the worst: largest score first": allowed[::-1][:k],
                "objects of the history must be left out": best[best != 0][:k],
                "row 0 is `unknown`, nobody's object": np.array([row for row in best if row not in history])[:k],
                "scores are returned; the rows are wanted": scores[allowed[:k]],
                "the best ones, but not best first": np.sort(allowed[:k]),
            },
        )
