import numpy as np

from lessons.exercises import Case

TITLE = "max pooling, backward, with ties"
TASK = """
Write max_backward(dy, z, offsets) (about 7 lines).
    z        [P,F]  what F feature maps see in P places, after the relu, so that many are exactly 0 and numbers may be equal
    offsets  [B+1]  history b owns the places offsets[b] : offsets[b+1]; it may be empty
    dy       [B,F]  the gradient by y[b] = the maximum over the places of history b (zeros for an empty one)
    returns dz [P,F]. Of equal maxima, the first place hears the gradient
"""
STUB = """\
import numpy as np


def max_backward(dy, z, offsets):  # [B,F], [P,F], [B+1] -> [P,F]
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "A history at a time. In which place is the maximum of each map? Only there does anything arrive. And an empty history has "
    "no place at all.",
    "z[first:end].argmax(0) is the first of equal places, counted from `first`. Then dz[first + best, np.arange(F)] = dy[b]; the "
    "rest of dz stays 0.",
)
EXPLAIN = """
Why it is so: at a tie the maximum has a kink, and every share of the gradient that sums to dy is as right as any other. What
is wrong is to give it to all of them: then W hears the same pattern several times. Ties are no rarity: after a relu many
places are exactly 0. (There the relu stops the gradient, so at 0 the choice is harmless; at equal behaviours it is not.)
"""


def check(answer, rng):
    for B, F in ((1, 2), (4, 3), (6, 5)):
        size = rng.integers(1, 6, size=B)
        if B > 1:
            size[1] = 0
        offsets = np.append(0, np.cumsum(size))
        z = np.maximum(rng.integers(-2, 4, size=(offsets[-1], F)), 0).astype(float)
        dy = rng.standard_normal((B, F))
        expected, all_equal, shared, one_pot = (np.zeros_like(z) for _ in range(4))
        for b, f in np.ndindex(B, F):
            here = range(offsets[b], offsets[b + 1])
            equal = [p for p in here if z[p, f] == max(z[q, f] for q in here)]
            if equal:
                expected[equal[0], f] = all_equal[equal, f] = dy[b, f]
                shared[equal, f] = dy[b, f] / len(equal)
        one_pot[z.argmax(0), np.arange(F)] = dy.sum(0)
        yield Case(
            f"dz of {B} histories, {F} maps",
            answer.max_backward(dy, z, offsets),
            expected,
            {
                "several equal maxima all get the whole gradient: only the first should": all_equal,
                "equal maxima share the gradient: the task says that the first gets all": shared,
                "every place of a history gets the gradient: only the strongest one was looked at": np.repeat(dy, size, axis=0),
                "one maximum over all histories: each has its own": one_pot,
            },
        )
