import numpy as np

from atrank_np.layers.convolution import windows
from lessons.exercises import Case

TITLE = "which rows stand in which window"
TASK = """
Write window_rows(offsets, w) (about 8 lines, loops are welcome).
    offsets  [B+1]  history b is the rows offsets[b] : offsets[b+1]; it may be empty. There are N = offsets[B] rows in all
    w        a number, the window's size
    returns rows [P,w], the rows in each window, history after history, from the first place to the last. A window lies inside
            its history. A history shorter than w has one window, from its first row on; behind its end it has N, the row of
            zeros. An empty history has none
"""
STUB = """\
import numpy as np


def window_rows(offsets, w):  # [B+1], number -> [P,w] of integers
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "One history of n rows has n - w + 1 places if n is at least w. How many if n is smaller, and how many if n is 0? Begin with "
    "the first row of each window.",
    "For start in range(first, first + max(n - w + 1, 1)): the rows are start, start + 1, …, and each that is not below the "
    "history's end becomes N. Return np.array(rows).reshape(-1, w), so that no window at all has a shape too.",
)
EXPLAIN = """
Why it is so: to let the window run over the border would mix strangers, and to drop short histories would make their users
nobodies: the Electronics log has 8.8 behaviours a user, and the largest window is 10. One padded window gives them a say.
"""


def check(answer, rng):
    for B, w in ((3, 1), (5, 3), (7, 4)):
        size = rng.integers(0, 7, size=B)
        size[:3] = (w + 2, max(w - 1, 1), 0)
        offsets = np.append(0, np.cumsum(rng.permutation(size)))
        expected = windows(offsets, w)[0]
        N, length = offsets[-1], np.diff(offsets)
        owner = np.repeat(np.arange(B), np.where(length > 0, np.maximum(length - w + 1, 1), 0))
        straight = expected[:, :1] + np.arange(w)
        long = length[owner] >= w
        inside = np.arange(max(N - w + 1, 0))[:, None] + np.arange(w)
        yield Case(
            f"rows in windows of {w}, {B} histories",
            answer.window_rows(offsets, w),
            expected,
            {
                "behind the end of a short history stands row N, not the next user's first row": straight,
                "a history shorter than the window has one window too": expected[long],
                "windows reach over the border between two histories": inside,
                "behind the end stands N, the row of zeros, not the last row again": np.minimum(
                    straight, offsets[owner + 1][:, None] - 1
                ),
            },
        )
