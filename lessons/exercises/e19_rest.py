import numpy as np

from atrank_np.layers.ranking import sigmoid
from lessons.exercises import Case

TITLE = "what a bias learns depends on the negatives"
TASK = """
A ranking model that has nothing but a number b_i per object is trained on pairs: -log σ(b_i - b_j), i chosen, j a negative.
Write bias_at_rest(n, q) (about 2 lines).
    n  [M]  how often each object is chosen, at least once
    q  [M]  the chance that a negative is this object (it is drawn without a look at i), above 0, sum 1
    returns b [M], where the gradient of the mean loss is 0. Only differences matter, so let the mean of b be 0
"""
STUB = """\
import numpy as np


def bias_at_rest(n, q):  # [M], [M] -> [M]
    # YOUR CODE (about 2 lines)
    ...
"""
HINTS = (
    "In how many pairs does i stand above j, in how many below? σ(b_i - b_j) should be the share of the first.",
    "i above j: n_i q_j. Below: n_j q_i. The odds e^(b_i - b_j) are n_i q_j / (n_j q_i): a number of i over a number of j.",
)
EXPLAIN = """
Why it is so: e^(b_i) = n_i / q_i is how much more often an object is chosen than it is drawn as a negative. Uniform negatives
leave popularity in the score; negatives as popular as the chosen ones take it out. The same holds for every model with a bias,
and for the test: an AUC against uniform negatives pays for popularity.
"""


def check(answer, rng):
    for M in (2, 5, 11):
        n, q = rng.integers(1, 20, size=M).astype(float), rng.dirichlet(np.full(M, 3.0))
        wins = np.outer(n, q) / n.sum()
        b = np.zeros(M)
        for _ in range(100):  # Newton's method on the loss; its value is checked below
            s = sigmoid(b[:, None] - b)
            gradient = ((wins + wins.T) * s - wins).sum(1)
            weight = (wins + wins.T) * s * (1 - s)
            bend = np.diag(weight.sum(1)) - weight
            b = b - np.linalg.solve(bend + 1 / M, gradient)
        assert np.abs(gradient).max() < 1e-12
        centred = lambda x: x - x.mean()
        for words, chance, expected in ((f"{M} objects", q, b), (f"{M}, popular negatives", n / n.sum(), np.zeros(M))):
            yield Case(
                words,
                answer.bias_at_rest(n, chance),
                expected,
                {
                    "that is popularity: right for uniform negatives only": centred(np.log(n)),
                    "the mean of b should be 0": np.log(n / chance),
                    "the odds are e^b: take the logarithm": centred(n / chance),
                    "turned round: what is often a negative must sink": centred(np.log(n * chance)),
                },
            )
