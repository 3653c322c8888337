import numpy as np

from atrank_np.optimizer import clip
from lessons.exercises import Case

TITLE = "clipping to a global norm"
TASK = """
Write clipped(gradients, limit) (about 4 lines).
    gradients  dict name -> array, of any shapes
    limit      a number above 0
    returns a new dict of new arrays: all gradients times ONE number, so that the norm of everything together (the root of the
    sum of all squares of all arrays) is at most `limit`. What is below the limit stays as it is.
"""
STUB = """\
import numpy as np


def clipped(gradients, limit):  # dict, number -> dict
    # YOUR CODE (about 4 lines)
    ...
"""
HINTS = (
    "First the norm of everything: a sum over the arrays of the sums of their squares, and one root at the end.",
    "The number is limit / norm, but never above 1: min(1, limit / norm). A dict comprehension makes the new dict.",
)
EXPLAIN = """
Why it is so: one number for all leaves the direction of the step as it was. But the whole norm must be known before a weight
moves, so a step that updates while it goes backward cannot clip.
"""


def check(answer, rng):
    for limit in (0.5, 5.0, 500.0, 1.3):
        gradients = {"a": 3 * rng.standard_normal((3, 5)), "b": rng.standard_normal(7), "c": 20 * rng.standard_normal((2, 2))}
        if limit == 1.3:  # each array has the norm 1: none is above the limit alone
            gradients = {name: g / np.linalg.norm(g) for name, g in gradients.items()}
        expected = {name: g.copy() for name, g in gradients.items()}
        norm = clip(expected, limit)
        yours = answer.clipped(gradients, limit)
        if not isinstance(yours, dict) or set(yours) != set(gradients):
            yield Case("a dict with the names of the given one. How many of them came back", 0, 3)
            return
        most = max(np.abs(g).max() for g in gradients.values())
        for name, g in gradients.items():
            yield Case(
                f"{name}, norm {norm:.1f}, limit {limit}",
                yours[name],
                expected[name],
                {
                    "one number for all arrays, else the direction turns": g * min(1, limit / np.linalg.norm(g)),
                    "every entry is clipped by itself": np.clip(g, -limit, limit),
                    "what is below the limit must stay as it is": g * limit / norm,
                    "the root is missing: the norm is the root of the sum of squares": g * min(1, limit / norm**2),
                    "the norm, not the largest entry": g * min(1, limit / most),
                },
            )
