import numpy as np


def pack(start, end):  # [B], [B] -> [B+1], [N]
    length = end - start
    offsets = np.concatenate([[0], np.cumsum(length)])
    rows = np.arange(offsets[-1]) + np.repeat(start - offsets[:-1], length)
    return offsets, rows


WRONG = [
    ("np.cumsum(length)", "length", "lengths as offsets"),
    ("start - offsets[:-1]", "start", "start without its offset"),
    ("start - offsets[:-1]", "offsets[:-1] - start", "sign"),
    (" + np.repeat(start - offsets[:-1], length)", "", "rows of the batch"),
    ("length = end - start", "length = end - start + 1", "the target itself in the history"),
    ("length = end - start", "length = np.maximum(end - start, 1)", "an empty history"),
]
