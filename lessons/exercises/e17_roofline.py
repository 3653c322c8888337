import numpy as np

from lessons.exercises import Case

TITLE = "where a piece of work stands under the roof"
TASK = """
A product of x [N,I] and W [I,O], float32, does 2·N·I·O operations. It moves x, W and the result once, 4 bytes a number.
Write two functions (about 2 lines each).
    intensity(N, I, O)                         operations per byte
    shortest_time(N, I, O, peak, stream)       seconds, at least, on a core with `peak` operations a second and `stream` bytes
                                               a second, if computing and moving go on at the same time
"""
STUB = """\
def intensity(N, I, O):  # numbers -> number
    # YOUR CODE (about 2 lines)
    ...


def shortest_time(N, I, O, peak, stream):  # numbers -> number
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "How many numbers have x, W and the result? The sum times 4 is what is moved.",
    "Computing alone takes operations / peak, moving alone bytes / stream. If both go on at once, the longer one decides.",
)
EXPLAIN = """
Why it is so: with few rows, W is moved for hardly any work, and no cleverness in computing helps. That is why the compiled
step packs the rows of many histories into one product, and why a history is encoded once for all its targets.
"""


def check(answer, rng):
    peak, stream = rng.uniform(50e9, 200e9), rng.uniform(5e9, 30e9)
    sizes = ((1, 128, 128), (61, 192, 128), (7000, 96, 64))  # compared together: a factor alone would tell no cause
    N, I, O = np.array(sizes).T
    operations, numbers = 2.0 * N * I * O, N * I + I * O + N * O
    yield Case(
        f"intensity of {N.tolist()} rows",
        [answer.intensity(*size) for size in sizes],
        operations / (4 * numbers),
        {
            "a float32 is 4 bytes": operations / numbers,
            "the result is moved as well": operations / (4 * (N * I + I * O)),
            "W is moved as well": operations / (4 * (N * I + N * O)),
            "a multiplication and an addition are two operations": operations / (8 * numbers),
            "operations per byte, not bytes per operation": 4 * numbers / operations,
        },
    )
    compute, move = operations / peak, 4 * numbers / stream
    scale = 1 / np.maximum(compute, move)  # so that the smallest time counts as much as the largest
    yield Case(
        f"time of {N.tolist()} rows, as shares of the right one",
        np.array([answer.shortest_time(*size, peak, stream) for size in sizes]) * scale,
        np.maximum(compute, move) * scale,
        {
            "they go on at the same time: not the sum": (compute + move) * scale,
            "the longer one decides, not the shorter": np.minimum(compute, move) * scale,
            "computing alone: moving may take longer": compute * scale,
            "moving alone: computing may take longer": move * scale,
        },
    )
