import numpy as np

from atrank_np.datasets.packing import bucketize
from lessons.exercises import Case

TITLE = "time buckets, exactly"
TASK = """
Write bucket(elapsed, unit, buckets) (about 2 lines) for plain Python integers:
    elapsed  time from the behaviour to the ranking, at least 0, in ticks; may be as large as 2**61
    unit     ticks of one bucket unit
    buckets  their number, at least 1
    returns [0,1) -> 0, [1,2) -> 1, [2,4) -> 2, [4,8) -> 3, … units; everything beyond the last bucket belongs to the last one
It must be right at every edge, so keep away from logarithms.
"""
STUB = """\
def bucket(elapsed, unit, buckets):  # integers -> integer
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "How many times must 1 be doubled until it is larger than the number of whole units? Write that number in binary and look.",
    "A Python integer has a method for the number of its binary digits, and 0 has none. Whole units: the division that rounds "
    "down. Then see to the last bucket: with 14 of them its number is 13.",
)
EXPLAIN = """
Why it is so: the bit length grows by one exactly when a number reaches the next power of two. A logarithm is rounded,
and just below a large power of two it rounds up to the wrong side; so does a division of floats. The package does the same
for whole arrays, by the exponent of a float64, up to 2^50 units.
"""


def check(answer, rng):
    edges = [0] + [2**k + d for k in range(61) for d in (-1, 0, 1)]
    for unit, buckets in ((1, 64), (86400, 14), (7, 5), (1, 1)):
        rests = (0, int(rng.integers(unit)), unit - 1)  # of the last unit hardly anything, something, all but a tick
        elapsed = [e * unit + rest for e in edges for rest in rests if (e + 1) * unit < 2**61]
        units = np.array(elapsed) // unit
        digits = np.array([int(e).bit_length() for e in units])
        expected = np.minimum(digits, buckets - 1)
        short = units < 2**50  # as far as the package goes: more than 51 buckets are of no use to anybody
        assert (bucketize(np.array(elapsed), unit, buckets) == expected)[short].all()
        below_edge = np.array([int(np.floor(np.log2(e))) + 1 if e else 0 for e in units.tolist()])
        yours = [answer.bucket(e, unit, buckets) for e in elapsed]
        yield Case(
            f"buckets of {len(elapsed)} times, unit {unit}, {buckets} buckets",
            yours,
            expected,
            {
                "the last bucket is number buckets - 1": np.minimum(digits, buckets),
                "the last bucket is open, and there is none beyond it": digits,
                "a logarithm rounds: just below a large power of two it gives the next bucket": np.minimum(
                    below_edge, buckets - 1
                ),
                "1 unit belongs to bucket 1, not 0": np.minimum(np.maximum(digits - 1, 0), buckets - 1),
                "elapsed counts ticks; first make them whole units": np.minimum([e.bit_length() for e in elapsed], buckets - 1),
            },
        )
