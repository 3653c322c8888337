import numpy as np

from lessons.exercises import Case

TITLE = "time buckets that grow four times, exactly"
TASK = """
Let each bucket end at four times the end of the one before. Write bucket4(elapsed, unit, buckets) (about 2 lines, without a loop)
for plain Python integers:
    elapsed  time from the behaviour to the ranking, at least 0, in ticks; may be as large as 2**61
    unit     ticks of one bucket unit
    buckets  their number, at least 1
    returns [0,1) -> 0, [1,4) -> 1, [4,16) -> 2, [16,64) -> 3, … units; everything beyond the last bucket belongs to the last one
It must be right at every edge, so keep away from logarithms and from divisions that are not of integers.
"""
STUB = """\
def bucket4(elapsed, unit, buckets):  # integers -> integer
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "Write 1, 3, 4, 15, 16, 63, 64 in binary and count their digits. How does the bucket follow from the count?",
    "1 and 2 digits are bucket 1, 3 and 4 digits bucket 2: half of the digits, rounded up, (digits + 1) // 2. Then see to "
    "the last bucket: with 14 of them its number is 13.",
)
EXPLAIN = """
Why it is so: a factor of four is two binary digits. A logarithm is rounded, and just below a large power of two it rounds up
to the wrong side; so does a division of floats. With such buckets a year has 5 instead of 9, so each row learns from more
behaviours and says less about when they were.
"""


def check(answer, rng):
    edges = [0] + [2**k + d for k in range(61) for d in (-1, 0, 1)]
    for unit, buckets in ((1, 64), (86400, 14), (7, 5), (1, 1)):
        rests = (0, int(rng.integers(unit)), unit - 1)  # of the last unit hardly anything, something, all but a tick
        elapsed = [e * unit + rest for e in edges for rest in rests if (e + 1) * unit < 2**61]
        units = [e // unit for e in elapsed]
        slow = []
        for u in units:
            bucket, end = 0, 1
            while u >= end:
                bucket, end = bucket + 1, end * 4
            slow.append(bucket)
        slow = np.array(slow)
        digits = np.array([u.bit_length() for u in units])
        ticks = np.array([(e.bit_length() + 1) // 2 for e in elapsed])
        last = buckets - 1
        yield Case(
            f"buckets of {len(elapsed)} times, unit {unit}, {buckets} buckets",
            [answer.bucket4(e, unit, buckets) for e in elapsed],
            np.minimum(slow, last),
            {
                "the last bucket is number buckets - 1": np.minimum(slow, buckets),
                "the last bucket is open, and there is none beyond it": slow,
                "these are buckets that double": np.minimum(digits, last),
                "half of the digits must be rounded up: [1,4) is bucket 1": np.minimum(digits // 2, last),
                "elapsed counts ticks; first make them whole units": np.minimum(ticks, last),
            },
        )
