"""Average user AUC and its uncertainty."""

from typing import NamedTuple

import numpy as np


class AUC(NamedTuple):
    """mean over the rankings, its standard error, and each ranking's own value [S]."""

    mean: float
    se: float
    each: np.ndarray


def user_auc(scores, label, target_offsets):  # [T], [T] in {0, 1}, [S+1] -> AUC
    """AUC = mean over rankings of 1/(|I⁺||I⁻|) Σ_{i∈I⁺} Σ_{j∈I⁻} δ(p_i > p_j); a tie counts ½ (the paper counts it 0).

    Ranking s is the targets target_offsets[s]:target_offsets[s+1], at least one positive and one negative each.
    NaN scores count as losing, so that a broken model cannot look good.
    """
    S = len(target_offsets) - 1
    segment = np.repeat(np.arange(S), np.diff(target_offsets))
    positive, negative = np.flatnonzero(label > 0), np.flatnonzero(label <= 0)
    # Every positive meets every negative of its own ranking: a ragged product, written out flat.
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


def standard_error(values, user):  # [S], [S]
    """Of the mean of values, over users; nan for one user. Values of one user may vary together: their deviations are added
    first. With a value for each user it is the usual deviation / √S.
    """
    _, user = np.unique(user, return_inverse=True)
    deviation = np.bincount(user, weights=values - values.mean())
    U = len(deviation)
    return float(np.sqrt(U / (U - 1) * (deviation**2).sum()) / len(values)) if U > 1 else float("nan")


def rank_metrics(rank, k=10):  # [S] -> dict
    """HR@k and NDCG@k of one positive per user among the whole catalogue; rank 0 is the first place."""
    hit = rank < k
    gain = np.where(hit, 1 / np.log2(rank + 2.0), 0.0)
    return {f"hr@{k}": float(hit.mean()), f"ndcg@{k}": float(gain.mean())}


def auc(scores, user=None):
    """user_auc of [S, 1+R] scores with the positive first. user [S]: whose rankings they are, if one may have several."""
    S, R = scores.shape
    label = np.zeros((S, R))
    label[:, 0] = 1
    found = user_auc(scores.reshape(-1), label.reshape(-1), np.arange(S + 1) * R)
    return found if user is None else found._replace(se=standard_error(found.each, user))


def nan_to_none(number):
    """None for NaN, the standard error of a single ranking: JSON has no NaN."""
    return None if np.isnan(number) else number
