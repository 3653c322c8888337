import numpy as np

from atrank_np.layers.attention import softmax_forward
from lessons.exercises import Case

TRANSFER = True
TITLE = "attention in one pass over the keys"
TASK = """
Write attend_one_pass(q, keys, values) (about 10 lines) for one query in one space:
    q [d], keys [n,d], values [n,d]  ->  c [d] = Σ_j a_j values_j with a = softmax(q · keys_j)
in ONE loop over j. Look at each key and value once, in order, and keep only three things on the way: the highest score so far,
the sum z of the exponentials so far, and the weighted sum c so far. No list of scores (though no check can see it). Scores may
be 1000, or all below -1000: nothing may overflow, or vanish. (Long histories: memory for the scores would be n numbers for each
query.)
"""
STUB = """\
import numpy as np


def attend_one_pass(q, keys, values):  # [d], [n,d], [n,d] -> [d]
    # YOUR CODE (about 10 lines)
    ...
"""
HINTS = (
    "All exponentials are taken relative to the highest score so far. When a higher one comes, what was summed until then "
    "is relative to the old one: by which factor is it too large?",
    "With m' = max(m, s): multiply z and c by exp(m - m'), then add exp(s - m') to z, and that times the value to c. Begin "
    "with m = -inf, z = 0, c = 0; at the end divide c by z. exp(-inf) is 0, so the first key needs no special case.",
)
EXPLAIN = """
Why it is so: softmax is unchanged by a constant in all scores, so the constant may even change on the way, if what is summed
already is brought to the new one. Each key costs one more product, and memory no longer grows with n: operations are cheap,
bytes are not. FlashAttention works like this, with blocks of keys in the place of single ones.
"""


def check(answer, rng):
    for n, d in ((1, 3), (7, 2), (13, 5)):
        q, keys, values = rng.standard_normal(d), rng.standard_normal((n, d)), rng.standard_normal((n, d))
        for scale, shift in ((1, 0), (1000, 0), (1, -3000)):
            moved = scale * keys + shift * q / (q @ q)
            scores = moved @ q
            a, _ = softmax_forward(scores)
            with np.errstate(over="ignore", invalid="ignore"):
                plain = np.exp(scores - scores[0])
                causes = {
                    "z is not divided by": np.exp(scores - scores.max()) @ values,
                    "what was summed before a new highest score is not brought to it": unscaled(scores, values),
                    "it is a mean of all values: the weights are missing": values.mean(0),
                    "the exponentials overflow: subtract the highest score so far": plain @ values / plain.sum(),
                }
            with np.errstate(over="raise", divide="raise"):
                yours = answer.attend_one_pass(q, moved, values)
            yield Case(f"c of {n} keys, scores up to {np.abs(scores).max():.0f}", yours, a @ values, causes)


def unscaled(scores, values):
    e = np.exp(scores - np.maximum.accumulate(scores))
    return e @ values / e.sum()
