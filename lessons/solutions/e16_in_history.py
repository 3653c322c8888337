import numpy as np


def in_history(history, offsets, candidates):  # [N], [S+1], [S,R] -> [S,R]
    scores = np.zeros(candidates.shape)
    for s in range(len(candidates)):
        own = history[offsets[s] : offsets[s + 1]]
        scores[s] = np.isin(candidates[s], own)
    return scores


WRONG = [
    ("own = history[offsets[s] : offsets[s + 1]]", "own = history", "all histories"),
    ("offsets[s] : offsets[s + 1]", "offsets[s + 1] - 1 : offsets[s + 1]", "the last one only"),
    ("offsets[s] : offsets[s + 1]", ": offsets[s + 1]", "the histories before it too"),
    ("np.isin(candidates[s], own)", "1 - np.isin(candidates[s], own)", "turned round"),
    ("np.isin(candidates[s], own)", "(candidates[s][:, None] == own).sum(1)", "how often"),
    ("return scores", "return scores[:, 0]", "the positive only"),
]
