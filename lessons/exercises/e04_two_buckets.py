import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "a time between two buckets"
TRANSFER = True
TASK = """
With buckets, 7 days and 8 days are as different as can be, 8 and 15 the same. Let a time stand *between* two rows instead:
    p = log2(1 + days / s)      with a number s > 0 that is learned
    k = floor(p), w = p - k     (w is the share of the next row)
    u = (1 - w) time[k] + w time[k + 1]
Write between(days, time, s) (about 4 lines) and between_backward(du, days, time, s) (about 7 lines).
    days [N]  at least 0;  time [R,E]  always with enough rows;  du [N,E]  the derivative of the loss by u
    between returns u [N,E]; between_backward returns dtime [R,E] and ds (a number)
k jumps, but u does not: take k as fixed when you derive.
"""
STUB = """\
import numpy as np


def between(days, time, s):  # [N], [R,E], number -> [N,E]
    # YOUR CODE (about 4 lines)
    ...


def between_backward(du, days, time, s):  # [N,E], [N], [R,E], number -> [R,E], number
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "Each output reads two rows, with the factors 1 - w and w: two scatter-adds. w stands in both, so dw_n is a scalar "
    "product of du_n with a difference. Then from w to p to s, and s is used by all N.",
    "dw = (du * (time[k + 1] - time[k])).sum(1). p = ln(1 + days/s) / ln 2, so ∂p/∂s = -days / (s² (1 + days/s) ln 2). ds "
    "is the sum of dw times that.",
)
EXPLAIN = """
Why it is so: the two factors sum to 1, so raising w takes from one row and gives to the next: the difference. At a whole p
both ways of writing u agree (w = 0 here is w = 1 in the bucket before), so u has no jump, only a kink. That buckets beat a
continuous time is a claim of the paper; lessons/RESULTS.md has the measurement.
"""


def check(answer, rng):
    for N, E, s in ((7, 3, 1.0), (5, 2, 0.4), (3, 1, 2.5)):
        days, scale = rng.uniform(0, 60, size=N), np.array(s)
        days[1] = days[0]
        R = int(np.log2(1 + 60 / s)) + 2
        time, r = rng.standard_normal((R, E)), rng.standard_normal((N, E))
        p = np.log2(1 + days / s)
        k = np.floor(p).astype(int)
        w = (p - k)[:, None]

        def f(_, days=days, time=time, r=r, scale=scale, k=k):
            w = (np.log2(1 + days / scale) - k)[:, None]
            return (r * ((1 - w) * time[k] + w * time[k + 1])).sum()

        u = (1 - w) * time[k] + w * time[k + 1]
        shape = f"{N} times, s = {s}"
        yield Case(
            f"u of {shape}",
            answer.between(days, time, s),
            u,
            {"the two shares are exchanged": w * time[k] + (1 - w) * time[k + 1], "only the lower row is read": time[k]},
        )
        lost, whole = np.zeros((2, R, E))
        lost[k] += (1 - w) * r
        lost[k + 1] += w * r
        np.add.at(whole, k, r)
        dtime, ds = answer.between_backward(r, days, time, s)
        yield Case(
            f"dtime of {shape}",
            dtime,
            numeric_gradient(f, time),
            {
                "repeats are lost: rows that are read twice get the sum": lost,
                "each output reads two rows, with the factors 1 - w and w": whole,
            },
        )
        dw = (r * (time[k + 1] - time[k])).sum(1)
        slope = -days / (s**2 * (1 + days / s))
        yield Case(
            f"ds of {shape}",
            ds,
            numeric_gradient(f, scale),
            {
                "log2 is ln divided by ln 2": (dw * slope).sum(),
                "the sign: a larger s makes p smaller": -(dw * slope).sum() / np.log(2),
                "the sum over the times, not the mean": (dw * slope).mean() / np.log(2),
                "w stands in two factors: both rows count": ((r * time[k + 1]).sum(1) * slope).sum() / np.log(2),
            },
        )
