import numpy as np

from lessons.exercises import Case

TITLE = "leave two out: what behaviours do together"
TRANSFER = True
TASK = """
If two behaviours say the same, leaving out one changes little, and leaving out both changes much. For one attention with a =
softmax(x), y_j = dc · v_j and the logit Σ_j a_j y_j, let
    effect_i  = logit - logit without i                both_ij = logit - logit without i and j
    together_ij = both_ij - effect_i - effect_j        for i ≠ j, and 0 for i = j
Write together(x, y) (about 8 lines).      x, y  [n]  with n >= 3       returns [n,n]
No loop over pairs, please: without i and j the other weights are divided by one number.
"""
STUB = """\
import numpy as np


def together(x, y):  # [n], [n] -> [n,n]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "As in the lesson, with c = Σ a_j y_j: the rest is (c - a_i y_i - a_j y_j) / (1 - a_i - a_j). Subtract that from c and "
    "bring it to one fraction.",
    "With d = a (y - c): both = (d_i + d_j) / (1 - a_i - a_j), effect = d / (1 - a). d[:, None] + d makes all pairs. Put 0 "
    "on the diagonal, and mind 1 - 2 a_i = 0 there: np.fill_diagonal of the denominator with 1 first.",
)
EXPLAIN = """
Why it is so: together_ij is 0 only if the two do not share anything, and in a softmax all share the sum of weights. It is
positive where two good ones stand in for each other: each alone is not missed. So a list of single effects is no full
account of a ranking; whoever wants shares that add up averages over all orders of leaving out (Shapley values), at a price
of 2^n rankings.
"""


def logit(x, y, kept):
    e = [np.exp(x[j]) for j in kept]
    return sum(w * y[j] for w, j in zip(e, kept)) / sum(e)


def check(answer, rng):
    for n in (3, 5, 8):
        x, y = rng.standard_normal(n), 2 * rng.standard_normal(n)
        whole = logit(x, y, range(n))
        single = [whole - logit(x, y, [k for k in range(n) if k != i]) for i in range(n)]
        both, expected = np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                if i != j:
                    both[i, j] = whole - logit(x, y, [k for k in range(n) if k not in (i, j)])
                    expected[i, j] = both[i, j] - single[i] - single[j]
        a = np.exp(x) / np.exp(x).sum()
        d = a * (y - a @ y)
        alone = (d[:, None] + d) - np.add.outer(single, single)
        np.fill_diagonal(alone, 0)
        causes = {
            "that is both_ij: the two single effects are to be taken off": both,
            "the weights of the rest must sum to 1 again: divide by 1 - a_i - a_j": alone,
            "turned round": -expected,
        }
        yield Case(f"together, {n} behaviours", answer.together(x, y), expected, causes)
    y = np.array([1.0, 2, 4])
    expected = np.zeros((3, 3))
    a = np.array([0.5, 0.25, 0.25])  # 1 - 2 a_0 = 0 on the diagonal
    c = a @ y
    for i in range(3):
        for j in range(3):
            if i != j:
                expected[i, j] = c - y[3 - i - j] - sum(a[k] / (1 - a[k]) * (y[k] - c) for k in (i, j))
    yield Case("together, weights ½, ¼, ¼", answer.together(np.log(a), y), expected)
