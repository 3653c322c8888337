import numpy as np


def window_rows(offsets, w):  # [B+1], number -> [P,w] of integers
    N, rows = offsets[-1], []
    for first, end in zip(offsets[:-1], offsets[1:]):
        if end > first:
            for start in range(first, first + max(end - first - w + 1, 1)):
                rows.append([row if row < end else N for row in range(start, start + w)])
    return np.array(rows, int).reshape(-1, w)


WRONG = [
    ("row if row < end else N", "row", "over the border"),
    ("else N for", "else end - 1 for", "the last row again"),
    ("max(end - first - w + 1, 1)", "max(end - first - w + 1, 0)", "short histories dropped"),
    ("max(end - first - w + 1, 1)", "end - first", "windows behind the end"),
    ("if end > first:", "if True:", "an empty history speaks"),
    ("- w + 1, 1)", "- w, 1)", "the last place forgotten"),
]
