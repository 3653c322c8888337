import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TITLE = "additive scores: a sum inside a tanh"
TRANSFER = True
TASK = """
The first attention of all (Bahdanau, 2014) did not multiply the two rows. It added them inside a tanh:
    score_ij = Σ_p w_p tanh(s_ip + key_jp)
Write tanh_scores(s, key, w) (about 2 lines) and tanh_scores_backward(dscores, s, key, w) (about 5 lines).
    s [T,d]  T queries         key [n,d]  n keys         w [d]
    dscores [T,n]  the derivative of the loss by the scores
    tanh_scores returns [T,n]; the backward pass returns ds [T,d], dkey [n,d], dw [d]
The derivative of tanh(z) is 1 - tanh²(z).
First on paper: give what stands inside the tanh and the tanh itself a name, and write each gradient with a Σ.
"""
STUB = """\
import numpy as np


def tanh_scores(s, key, w):  # [T,d], [n,d], [d] -> [T,n]
    # YOUR CODE (about 2 lines)
    ...


def tanh_scores_backward(dscores, s, key, w):  # [T,n], [T,d], [n,d], [d] -> [T,d], [n,d], [d]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "Name z_ijp = s_ip + key_jp and t_ijp = tanh(z_ijp). How many letters have they, so which shape? (s[:, None] + key makes z.) "
    "Go back from dscores to z first. For which j is s_ip used?",
    "dz = dscores[:, :, None] * w * (1 - t**2), [T,n,d]. s_ip is used by every j: ds = dz.sum(1). key_jp is used by every "
    "i. w_p is used by every pair: dw_p = Σ_ij dscores_ij t_ijp.",
)
EXPLAIN = """
Why it is so: no product of s and key any more, yet the query matters: tanh bends, so the two do not simply add. The rule
stays: what is used by every j sums over j. The price: the tanh stands inside the pair, so nothing can be computed beforehand,
and T · n · d values of tanh are needed where the bilinear form has one matrix product. That is why the product won.
"""


def check(answer, rng):
    for q, n, d in ((3, 5, 2), (4, 2, 3), (3, 3, 3)):
        s, key, w, r = (rng.standard_normal(shape) for shape in ((q, d), (n, d), d, (q, n)))

        def f(_, s=s, key=key, w=w, r=r):
            return sum(r[i, j] * (w * np.tanh(s[i] + key[j])).sum() for i in range(len(s)) for j in range(len(key)))

        scores = np.array([[(w * np.tanh(s[i] + key[j])).sum() for j in range(n)] for i in range(q)])
        shape = f"(T={q}, n={n}, d={d})"
        yield Case(
            f"scores {shape}",
            answer.tanh_scores(s, key, w),
            scores,
            {"the tanh stands around s + key, not around each": np.tanh(s) @ w[:, None] + np.tanh(key) @ w},
        )
        t = np.tanh(s[:, None] + key)
        without_slope = r[:, :, None] * w * np.ones_like(t)
        ds, dkey, dw = answer.tanh_scores_backward(r, s, key, w)
        dz = without_slope * (1 - t**2)
        both = {
            "the slope of tanh, 1 - tanh², is missing": without_slope,
            "the slope of tanh is 1 - tanh²": without_slope * (1 - t),
            "the slope of tanh is 1 - tanh², not tanh": without_slope * t,
        }
        both["the factor w is missing"] = r[:, :, None] * (1 - t**2)
        both["dscores is missing: every pair counts with its own"] = w * (1 - t**2)
        causes = {words: z.sum(1) for words, z in both.items()} | {"the mean over j in place of the sum": dz.mean(1)}
        yield Case(f"ds {shape}", ds, numeric_gradient(f, s), causes)
        causes = {words: z.sum(0) for words, z in both.items()} | {"the mean over i in place of the sum": dz.mean(0)}
        if q == n:
            causes["key j sums over all queries i, not over j"] = dz.sum(1)
        yield Case(f"dkey {shape}", dkey, numeric_gradient(f, key), causes)
        yield Case(
            f"dw {shape}",
            dw,
            numeric_gradient(f, w),
            {
                "w stands outside the tanh: no slope comes with it": (r[:, :, None] * t * (1 - t**2)).sum((0, 1)),
                "dscores is missing: every pair counts with its own": t.sum((0, 1)),
                "w itself is no factor of its own gradient": w * (r[:, :, None] * t).sum((0, 1)),
            },
        )
