import numpy as np

from lessons.exercises import Case

TITLE = "the control that finds a leak"
TASK = """
Write in_history(history, offsets, candidates) (about 5 lines).
    history     [N]    objects, all histories one after another
    offsets     [S+1]  ranking s has the history offsets[s] : offsets[s+1], which may be empty
    candidates  [S,R]  objects to be ranked, the positive first
    returns scores [S,R]: 1.0 where the candidate stands in the history of ITS ranking, else 0.0
"""
STUB = """\
import numpy as np


def in_history(history, offsets, candidates):  # [N], [S+1], [S,R] -> [S,R]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "A loop over the rankings; each one looks at its own slice of history.",
    "np.isin(row, slice) answers for a whole row of candidates. Put the answers into an array of zeros.",
)
EXPLAIN = """
Why it is so: this score knows nothing of tastes. If its AUC is above 0.5, the way in which positives and negatives are chosen
tells them apart, and a clever model will find that out too. A data set where it says 0.7 gives every model a present.
"""


def check(answer, rng):
    for S, R in ((2, 3), (7, 2), (5, 4)):
        size = rng.integers(0, 5, size=S)
        size[0] = 3
        offsets = np.append(0, np.cumsum(size))
        history, candidates = rng.integers(1, 8, size=offsets[-1]), rng.integers(1, 8, size=(S, R))
        candidates[0, 0] = history[1]
        expected = np.array(
            [
                [1.0 if any(history[i] == o for i in range(offsets[s], offsets[s + 1])) else 0.0 for o in row]
                for s, row in enumerate(candidates)
            ]
        )
        last = [history[offsets[s + 1] - 1] if size[s] else 0 for s in range(S)]
        count = [[(history[offsets[s] : offsets[s + 1]] == o).sum() for o in row] for s, row in enumerate(candidates)]
        yield Case(
            f"scores [{S},{R}]",
            answer.in_history(history, offsets, candidates),
            expected,
            {
                "every ranking looks at the histories of all": np.isin(candidates, history).astype(float),
                "only the last behaviour is looked at": (candidates == np.array(last)[:, None]).astype(float),
                "1 for 'is there', not how often": np.array(count, float),
                "turned round: 1 where it is in the history": 1 - expected,
            },
        )
