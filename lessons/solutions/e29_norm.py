import numpy as np


def norm(pieces):  # R arrays [n_r] -> np.float32
    total = np.float32(0)
    for piece in pieces:
        for start in range(0, len(piece), 4):
            block = np.float32(0)
            for x in piece[start : start + 4]:
                block = block + x * x
            total = total + block
    return np.sqrt(total)


WRONG = [
    ("            total = total + block\n", "            total = block + block\n", "the blocks before are lost"),
    ("range(0, len(piece), 4)", "range(0, len(piece) - 3, 4)", "the short block is left out"),
    ("piece[start : start + 4]", "piece[start : start + 8]", "blocks overlap"),
    ("            block = np.float32(0)\n", "            block = total\n            total = np.float32(0)\n", "one sum over all"),
    ("return np.sqrt(total)", "return np.float64(np.sqrt(total))", "the root is a float64"),
]
