import numpy as np

from lessons.exercises import Case

TITLE = "Table 4, with the share that even weights would give"
TASK = """
Write by_age(weights, elapsed, edges) (about 8 lines).
    weights  list of S arrays [n_s]  vanilla attention over history s (mean of its spaces); each sums to 1
    elapsed  list of S arrays [n_s]  days since each behaviour
    edges    [E]                     bucket e is edges[e] <= days < edges[e+1]; the last one is open; edges[0] is 0
    returns two arrays [E]: the mean weight of the behaviours of a bucket, over all histories together,
    and the mean of what even weights would have given them, 1/n_s. A bucket without behaviours has 0 in both
"""
STUB = """\
import numpy as np


def by_age(weights, elapsed, edges):  # S x [n_s], S x [n_s], [E] -> [E], [E]
    # YOUR CODE (about 8 lines)
    ...
"""
HINTS = (
    "np.concatenate makes one long array of weights and one of days; for the even shares concatenate np.full(n, 1 / n). "
    "Every behaviour counts once, whatever its history.",
    "bucket = np.searchsorted(edges, days, side='right') - 1; then np.bincount(bucket, weights=w, minlength=len(edges)) sums; "
    "np.bincount without weights counts. Divide by np.maximum(count, 1).",
)
EXPLAIN = """
Why it is so: old behaviours stand mostly in long histories, and in a long history everybody gets little. So the mean weight
falls with age even if a model looks at all alike. The ratio to the even share says what it prefers.
"""


def check(answer, rng):
    for S, E in ((1, 3), (5, 4), (9, 6)):
        edges = np.append(0, 2.0 ** np.arange(1, E))
        elapsed = [np.sort(rng.integers(0, 40, size=rng.integers(1, 9)))[::-1] for _ in range(S)]
        elapsed[0][-1] = 2  # on an edge
        weights = [rng.dirichlet(np.ones(len(days))) for days in elapsed]
        found = [[] for _ in range(E)]
        for w, days in zip(weights, elapsed):
            for weight, day in zip(w, days):
                found[max(e for e in range(E) if edges[e] <= day)].append((weight, 1 / len(days)))
        mean, even = np.array([np.mean(bucket, 0) if bucket else (0, 0) for bucket in found]).T
        total = np.array([sum(weight for weight, _ in bucket) for bucket in found])
        yours = answer.by_age(weights, elapsed, edges)
        yield Case(
            f"mean weights ({S} histories, {E} buckets)",
            yours[0],
            mean,
            {
                "the sum of the weights, not their mean": total,
                "divided by the number of histories, not of behaviours": total / S,
            },
        )
        everywhere = np.where(even > 0, S / sum(map(len, elapsed)), 0)
        yield Case(
            f"even shares ({S} histories, {E} buckets)",
            yours[1],
            even,
            {
                "each history has its own 1/n": everywhere,
            },
        )
