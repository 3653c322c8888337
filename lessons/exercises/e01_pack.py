import numpy as np

from lessons.exercises import Case

TITLE = "packing: where every row of a batch comes from"
TASK = """
Write pack(start, end) (about 4 lines). History b of a batch is the events start[b] … end[b] - 1 of a log.
    start, end  [B]; a history may be empty, and histories may overlap
    returns offsets [B+1], rows [N]: row i of the batch is event rows[i] of the log, and history b is the batch's rows
    offsets[b] … offsets[b+1] - 1
A loop is welcome. (Without one it is three lines: np.cumsum, np.arange, np.repeat.)
"""
STUB = """\
import numpy as np


def pack(start, end):  # [B], [B] -> [B+1], [N]
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "offsets begins with 0 and then adds up the lengths; its last entry is N. rows is the ranges of events, one after another.",
    "Without a loop: row i of history b is event start[b] + (i - offsets[b]), so add start[b] - offsets[b], repeated over "
    "the length of b, to 0 … N - 1.",
)
EXPLAIN = """
Why it is so: after packing, everything that treats behaviours one by one (embeddings, projections, feed-forward nets) is one
matrix product over all N rows and does not know of histories at all. Only attention looks at the offsets.
"""


def check(answer, rng):
    for B in (5, 1, 7):
        start = rng.integers(0, 50, size=B)
        end = start + rng.integers(0, 6, size=B)
        end[0] = start[0] + 3
        if B > 1:
            end[1] = start[1]  # an empty history
        length = end - start
        offsets = np.append(0, np.cumsum(length))
        rows = np.concatenate([np.arange(s, e) for s, e in zip(start, end)])
        yours, yours_rows = answer.pack(start, end)
        yield Case(
            f"offsets of {B} histories",
            yours,
            offsets,
            {
                "these are lengths, not their running sum": np.append(0, length),
                "these are the ends in the log, not in the batch": np.append(0, end),
            },
        )
        yield Case(
            f"rows of {B} histories",
            yours_rows,
            rows,
            {
                "rows of the batch, not events of the log: add where the history starts": np.arange(len(rows)),
                "subtract offsets[b]: within a history the count begins at 0": np.arange(len(rows)) + np.repeat(start, length),
            },
        )
