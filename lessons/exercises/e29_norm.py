import numpy as np

from lessons.exercises import Case

TITLE = "the norm of a gradient in pieces, the same bits for any number of ranks"
TRANSFER = True
TASK = """
Clipping needs the norm of the whole gradient, √Σ g². Each rank holds a piece of it. Sums of squares by piece would depend on
how it was cut. So they are taken of BLOCKS of 4 numbers, wherever the cuts are: every piece but the last is a multiple of 4 long.
    1. The squares of a block are added one after another: ((g0² + g1²) + g2²) + g3². The last block may be shorter.
    2. The blocks' sums are added one after another, in the order of the gradient, and the root is taken.
Write norm(pieces) (about 8 lines). All of it in float32: np.float32 times np.float32 is one again.
    pieces: a list of R arrays [n_r] float32, one for each rank, in the order of the gradient; some may be empty
    returns a np.float32
"""
STUB = """\
import numpy as np


def norm(pieces):  # R arrays [n_r] -> np.float32
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Two loops for what one rank does: over its blocks, piece[i : i + 4], and over the numbers of a block. What it sends is the "
    "list of its blocks' sums. Then one loop over all of these lists.",
    "np.sum adds in an order of its own, and so does np.dot. Begin each block, and the total, with np.float32(0).",
)
EXPLAIN = """
Why it is so: the order of additions is fixed by the blocks, which belong to the gradient, and not by the pieces, which belong to
the ranks. It is the rule of the shards once more: choose a division that nobody's number of machines can change, and let the
ranks differ only in who computes which part. The price is one number for each block in place of one for each rank.
"""


def truth(g):
    total = np.float32(0)
    for start in range(0, len(g), 4):
        block = np.float32(0)
        for x in g[start : start + 4]:
            block = block + x * x
        total = total + block
    return np.sqrt(total)


def bits(value):
    return int(np.float32(value).view(np.int32))


def check(answer, rng):
    for cuts in ([], [400], [4, 400, 840], [0, 80, 80, 800]):
        for n in (960, 961):
            g = rng.standard_normal(n).astype(np.float32)
            yours = answer.norm(np.split(g, cuts))
            yield Case("how many bytes the answer has", np.asarray(yours).itemsize, 4)
            away = bits(yours) - bits(truth(g))
            yield Case(f"for {len(cuts) + 1} ranks: how many float32 numbers the answer is away from the right one", away, 0)
