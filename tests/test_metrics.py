import numpy as np
import pytest
from helpers import assert_close

from atrank_np.metrics import rank_metrics, standard_error, user_auc


def literal_auc(scores, label, offsets):
    each = []
    for start, stop in zip(offsets, offsets[1:]):
        wins, pairs = 0, 0
        for i in range(start, stop):
            for j in range(start, stop):
                if label[i] == 1 and label[j] == 0:
                    pairs += 1
                    wins += 1 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0
        each.append(wins / pairs)
    return each


def test_against_the_double_loop_with_ties():
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 9, 50)
    offsets = np.append(0, np.cumsum(sizes))
    scores = rng.integers(0, 4, offsets[-1]).astype(float)
    label = rng.integers(0, 2, offsets[-1]).astype(np.float32)
    label[offsets[:-1]], label[offsets[1:] - 1] = 1, 0
    expected = literal_auc(scores, label, offsets)
    auc = user_auc(scores, label, offsets)
    assert_close(auc.each, expected)
    assert_close(auc.mean, sum(expected) / 50)


def test_tiny_values():
    auc = user_auc(np.array([3.0, 1, 2, 0, 0]), np.array([1, 1, 0, 1, 0]), np.array([0, 3, 5]))
    assert auc.each.tolist() == [0.5, 0.5] and auc.mean == 0.5
    assert user_auc(np.array([0.0, 1, 1]), np.array([1, 1, 0]), np.array([0, 3])).each.tolist() == [0.25]


def test_each_user_counts_the_same():
    """One user has a hundred pairs, one a single pair."""
    scores = np.append(np.arange(101.0, 0, -1), [0, 1])
    label = np.append([1], np.zeros(100)).tolist() + [1, 0]
    assert user_auc(scores, np.array(label), np.array([0, 101, 103])).mean == 0.5


def test_standard_error_is_that_of_the_mean_over_users():
    auc = user_auc(np.array([1.0, 0, 1, 0, 0, 1, 1, 0]), np.tile([1, 0], 4), np.array([0, 2, 4, 6, 8]))
    assert auc.each.tolist() == [1, 1, 0, 1]
    assert_close(auc.se, np.sqrt(sum((x - 0.75) ** 2 for x in auc.each) / 3) / np.sqrt(4))
    assert np.isnan(user_auc(np.array([1.0, 0]), np.array([1, 0]), np.array([0, 2])).se)


def test_rankings_of_one_user_are_not_counted_as_two_users():
    values, once = np.array([1.0, 0, 1, 0, 1]), np.arange(5)
    assert_close(standard_error(values, once), values.std(ddof=1) / np.sqrt(5))
    assert_close(standard_error(np.tile(values, 2), np.tile(once, 2)), standard_error(values, once))


def test_a_nan_score_loses():
    assert user_auc(np.array([np.nan, 0.0]), np.array([1, 0]), np.array([0, 2])).mean == 0
    assert user_auc(np.array([0.0, np.nan]), np.array([1, 0]), np.array([0, 2])).mean == 0


@pytest.mark.parametrize("label, offsets", [([1, 1], [0, 2]), ([0, 0], [0, 2]), ([1, 0], [0, 2, 2]), ([], [0])])
def test_a_ranking_needs_both(label, offsets):
    with pytest.raises(ValueError, match="positive and a negative"):
        user_auc(np.zeros(len(label)), np.array(label), np.array(offsets))


def test_rank_metrics():
    metrics = rank_metrics(np.array([0, 9, 10, 1]), [1, 10])
    assert metrics["hr@10"] == metrics["recall@10"] == 0.75 and metrics["hr@1"] == metrics["ndcg@1"] == 0.25
    assert_close(metrics["mrr"], (1 + 1 / 10 + 1 / 11 + 1 / 2) / 4)
    assert_close(metrics["ndcg@10"], (1 + 1 / np.log2(11) + 0 + 1 / np.log2(3)) / 4)
