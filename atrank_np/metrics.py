"""Average user AUC and its uncertainty."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .arrays import Floats, Ints
from .errors import ArgumentError


class AUC(NamedTuple):
    mean: float  # over the rankings
    se: float  # standard error of the mean; NaN for one user
    each: Floats  # [S], of each ranking


def user_auc(scores: Floats, label: Floats | Ints, target_offsets: Ints) -> AUC:  # [T], [T], [S+1]
    """AUC = mean over rankings of 1/(|I⁺||I⁻|) Σ_{i∈I⁺} Σ_{j∈I⁻} δ(p_i > p_j); a tie counts ½ (the paper counts it 0).

    Ranking s has the targets target_offsets[s]:target_offsets[s+1]. A label is 1 for a positive and 0 for a negative.
    A pair with a NaN score counts 0, so that a broken model cannot look good. ValueError for a ranking without a positive
    or without a negative.
    """
    S = len(target_offsets) - 1
    segment = np.repeat(np.arange(S), np.diff(target_offsets))
    positive, negative = np.flatnonzero(label > 0), np.flatnonzero(label <= 0)
    # Every pair of a positive i and a negative j of the same ranking, as two flat arrays.
    negatives = np.bincount(segment[negative], minlength=S)
    first = np.concatenate([[0], np.cumsum(negatives)])
    repeats = negatives[segment[positive]]
    i = np.repeat(positive, repeats)
    within = np.arange(len(i)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    j = negative[np.repeat(first[segment[positive]], repeats) + within]
    wins = (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
    pairs = np.bincount(segment[i], minlength=S)
    if S == 0 or pairs.min() == 0:
        raise ValueError("every ranking needs a positive and a negative")
    each = np.bincount(segment[i], weights=wins, minlength=S) / pairs
    return AUC(float(each.mean()), standard_error(each, np.arange(S)), each)


def standard_error(values: Floats, user: Ints) -> float:  # [S], [S]
    """The standard error of the mean of `values`; NaN for one user.

    user: the user of each value. Values of the same user may depend on each other, so their deviations are summed first
    (a cluster-robust error). With one value per user it is the usual deviation / √S.
    """
    _, user = np.unique(user, return_inverse=True)
    deviation = np.bincount(user, weights=values - values.mean())
    U = len(deviation)
    return float(np.sqrt(U / (U - 1) * (deviation**2).sum()) / len(values)) if U > 1 else float("nan")


def rank_metrics(rank: Floats | Ints, at: Sequence[int] = (10,)) -> dict[str, float]:  # [S]
    """HR@k, recall@k and NDCG@k for each k of `at`, and the MRR, of one positive per ranking among the whole catalogue.

    rank: 0 is the first place. With a single positive, recall is the hit rate. ValueError for a k below 1.
    """
    found = dict[str, float]()
    for k in at:
        if k < 1:
            raise ArgumentError(f"at: expected numbers of at least 1, got {k}")
        hit = rank < k
        gain = np.where(hit, 1 / np.log2(rank + 2.0), 0.0)
        found |= {f"hr@{k}": float(hit.mean()), f"recall@{k}": float(hit.mean()), f"ndcg@{k}": float(gain.mean())}
    return found | {"mrr": float((1 / (rank + 1.0)).mean())}


def auc(scores: Floats, user: Ints | None = None) -> AUC:  # [S,1+R], [S]
    """user_auc of scores with the positive first. user: the user of each ranking, where a user may have several."""
    S, R = scores.shape
    label = np.zeros((S, R))
    label[:, 0] = 1
    found = user_auc(scores.reshape(-1), label.reshape(-1), np.arange(S + 1) * R)
    return found if user is None else found._replace(se=standard_error(found.each, user))


def nan_to_none(number: float) -> float | None:
    """None for NaN, such as the standard error of a single ranking: JSON has no NaN."""
    return None if np.isnan(number) else number
