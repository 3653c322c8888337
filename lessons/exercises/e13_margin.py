import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "a squared margin loss, with weights and a trained margin"
TASK = """
Pair x has a positive i = positive[x], a negative j = negative[x] and a weight w_x > 0. Its loss is 0 if f_i is above f_j by the
margin μ or more; otherwise it is the square of what is missing:
    missing_x = max(0, μ − (f_i − f_j))
    L = Σ_x w_x · missing_x² / Σ_x w_x
Write margin_gradient(f, positive, negative, w, mu) (about 8 lines).
    f [T] scores; positive, negative [X] places in f, a place may stand in many pairs; w [X]; mu a number
    returns df [T], dμ (a number)
"""
STUB = """\
import numpy as np


def margin_gradient(f, positive, negative, w, mu):  # [T], [X], [X], [X], number -> [T], number
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "Go back line by line: dmissing from L, then through max(0, ·), which is a relu. Then three names stand in its argument: μ, "
    "f_i, f_j. With which sign? And who is used in several pairs?",
    "dmissing = 2 w missing / Σ w; where missing is 0 this is 0 by itself. μ has slope 1 and is used in all pairs: a sum. f_i "
    "has slope −1, f_j slope +1; np.add.at(df, places, values) adds all shares, `df[places] += …` keeps one of each place.",
)
EXPLAIN = """
Why it is so: a pair that is in order by the margin is left alone, so only the hard pairs teach. That is the difference to −log σ,
which never stops pushing. As dμ is never negative, a margin that is trained by this loss alone shrinks to 0 and below: a
margin is chosen, not trained, or something else must hold it up. A gradient shows such things before a training run does.
"""


def loss_of(f, positive, negative, w, mu):
    total = 0.0
    for i, j, weight in zip(positive, negative, w):
        total += weight * max(0.0, mu[0] - f[i] + f[j]) ** 2
    return total / w.sum()


def draw(rng, T, X):
    while True:  # some pairs in order, some not, and repeated places on both sides
        f, w = 2 * rng.standard_normal(T), rng.uniform(0.2, 2, X)
        positive, negative = rng.integers(T // 2, size=X), rng.integers(T // 2, T, size=X)
        missing = 1 - f[positive] + f[negative]
        repeats = min(X - len(set(positive)), X - len(set(negative)))
        if repeats > 0 and 1 < (missing > 0).sum() < X and np.abs(missing).min() > 1e-3:
            return f, positive, negative, w


def check(answer, rng):
    mu = np.ones(1)
    for T, X in ((5, 6), (7, 9), (6, 13)):
        f, positive, negative, w = draw(rng, T, X)
        yours = answer.margin_gradient(f, positive, negative, w, 1.0)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("two results: df and dμ. How many came back", came, 2)
            return

        def loss(_, own=(f, positive, negative, w, mu)):
            return loss_of(*own)

        def shares(d, T=T, positive=positive, negative=negative):
            df = np.zeros(T)
            np.add.at(df, positive, -d)
            np.add.at(df, negative, d)
            return df

        missing = np.maximum(0, 1 - f[positive] + f[negative])
        d = 2 * w * missing / w.sum()
        lost, half = np.zeros(T), np.zeros(T)
        lost[positive] -= d
        lost[negative] += d
        np.add.at(half, positive, -d)
        half_lost, all_of_negatives = half.copy(), shares(d) - half
        half_lost[negative] += d
        yield Case(
            f"df [{T}] from {X} pairs",
            yours[0],
            numeric_gradient(loss, f),
            {
                "repeated places are lost: `df[places] += …` keeps one share of each place": lost,
                "repeated negatives are lost: `df[places] += …` keeps one share of each place": half_lost,
                "repeated positives are lost: `df[places] += …` keeps one share of each place": lost * (half != 0)
                + all_of_negatives,
                "the negatives get nothing": half,
                "the sign: a positive must be lifted, so its gradient is negative": -shares(d),
                "the factor 2 of the square is missing": shares(d / 2),
                "the weights are missing": shares(2 * missing / w.sum()),
                "the mean is over the weights, not over the number of pairs": shares(2 * w * missing / X),
                "pairs that are in order get no gradient": shares(2 * w * (1 - f[positive] + f[negative]) / w.sum()),
                "the square is missing: its slope has the factor `missing`": shares(w * (missing > 0) / w.sum()),
            },
        )
        yield Case(
            "dμ",
            yours[1],
            numeric_gradient(loss, mu)[0],
            {
                "the sign: more margin, more is missing": -d.sum(),
                "a mean for the sum: μ stands in every pair": d.mean(),
                "the factor 2 of the square is missing": d.sum() / 2,
            },
        )
