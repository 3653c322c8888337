"""Negatives in proportion to training events, and what corrects the softmax loss for it."""

import numpy as np
import pytest
from helpers import assert_same
from logs import NEGATIVE, SHOWN, a, b, c, d, e, f, g, moments, one_group, several_groups
from runs import batches_of

from atrank_np.config import Config
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.negatives import Negatives
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.evaluation.report import report_of
from atrank_np.randomness import stream
from atrank_np.runs.trained import assemble

WEIGHTS = np.array([99, 5, 1, 9, 4, 2, 7, 3])  # of the unknown object, which is never drawn, and of a … g


def test_negatives_are_in_proportion_to_their_weights(tmp_path):
    """u touches a, c, f: b, d, e, g are left, with weights of 1, 4, 2, 3. v touches all but d and e."""
    log = one_group(tmp_path, "u a 1,u c 2,u x 3,u f 4,v a 1,v b 2,v c 3,v f 4,v g 5")
    negatives = Negatives(log)
    for user, left in ((0, [b, d, e, g]), (1, [d, e])):
        drawn = negatives.draw(stream(0, "negatives", 0), moments([user] * 4000), 5, [WEIGHTS])
        objects, count = np.unique(drawn, return_counts=True)
        assert objects.tolist() == left
        expected = drawn.size * WEIGHTS[left] / WEIGHTS[left].sum()
        assert ((count - expected) ** 2 / expected).sum() < 16.3  # the 99.9 % quantile of χ² with 3 degrees of freedom


def test_the_last_objects_left_are_drawn_by_their_weights(tmp_path):
    """Of a weight so small that drawing again and again would hardly ever meet them."""
    log = one_group(tmp_path, "u a 1")
    weights = np.array([1, 10**6, 1, 3, 0, 0, 0, 0])
    drawn = Negatives(log).draw(stream(0, "negatives", 0), moments([0] * 100), 4, [weights])
    assert set(drawn.ravel().tolist()) == {b, c} and 50 < (drawn == b).sum() < 150


def test_uniform_draws_are_weights_of_one_and_those_of_numpy(tmp_path):
    """Bit for bit, but for the objects that were drawn again. So results from before weights stay as they are."""
    negatives = Negatives(one_group(tmp_path, "u a 1,u c 2"))
    drawn = negatives.draw(stream(0, "negatives", 0), moments([0] * 99), 3)
    assert_same(drawn, negatives.draw(stream(0, "negatives", 0), moments([0] * 99), 3, [np.ones(8, int)]))
    plain = stream(0, "negatives", 0).integers(1, 8, (99, 3), np.int32)
    assert set(plain[drawn != plain].tolist()) == {a, c} and (drawn == plain).mean() > 0.5


def test_the_correction_by_hand(tmp_path):
    """Of two groups: 31 events are of seven items, 14 of seven queries."""
    log = several_groups(tmp_path, "u i a 1,u q a 1")
    drawn = np.array([[a, b], [c, c], [g, a]])
    samples = moments([0, 0, 0])._replace(group=np.array([0, 1, 0], np.int8))
    found = Negatives(log).log_q(samples, drawn, [WEIGHTS, np.array([5, 1, 2, 3, 1, 4, 2, 1])])
    expected = [[5 / 31, 1 / 31], [3 / 14, 3 / 14], [3 / 31, 5 / 31]]
    np.testing.assert_allclose(found, np.log(7 * np.array(expected)))


def test_what_was_shown_is_not_corrected(tmp_path):
    """Samples with two shown objects, none, one: these stand first."""
    parts = Protocol(one_group(tmp_path, SHOWN, NEGATIVE))
    drawn = parts.negatives.draw(stream(0, "negatives", 0), parts.train, 3, [WEIGHTS])
    found = parts.negatives.log_q(parts.train.take(slice(None)), drawn, [WEIGHTS])
    by_weight = np.log(WEIGHTS[drawn] / WEIGHTS[1:].mean())
    assert [set(row[:n].tolist()) for row, n in zip(drawn, (2, 0, 1))] == [{c, e}, set(), {e}]
    for row, expected, n in zip(found, by_weight, (2, 0, 1)):
        assert row[:n].tolist() == [0] * n
        np.testing.assert_allclose(row[n:], expected[n:])


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_a_batch_says_how_its_negatives_were_drawn(tmp_path, by):
    """Training events are a, b b, c c, e; d, f, g, which have none, count once."""
    log = one_group(tmp_path, "u a 1,u b 2,u c 3,u d 4,v c 1,v b 2,v e 3,v f 4")
    batch = Batches(Protocol(log, Config(negatives_by=by, negatives=7, batch_size=32))).batch(0, 0)
    assert batch.label.reshape(4, 8).tolist() == [[1] + [0] * 7] * 4 and {d, f, g} <= set(batch.target_object.tolist())
    count = np.array([0, 1, 2, 2, 1, 1, 1, 1])
    expected = np.where(batch.label, 0, np.log(count[batch.target_object] * 7 / 9))
    assert batch.log_q.dtype == np.float32
    np.testing.assert_allclose(batch.log_q, expected if by == "popularity" else 0 * batch.label, rtol=1e-6)


def test_popular_objects_are_drawn_more_often_and_test_negatives_stay(tiny):
    rare, often = (batches_of(tiny, negatives=3, negatives_by=by) for by in ("uniform", "popularity"))
    mean = []
    for batches in (rare, often):
        batches.batch(0, 0)
        weights = Protocol(read_log(tiny)).popularity
        mean.append(np.mean([weights[g][row].mean() for g, row in zip(batches.train.group, batches.drawn)]))
    assert mean[1] > 1.1 * mean[0]
    one, other = (Protocol(read_log(tiny), Config(negatives_by=by)).task.candidates for by in ("uniform", "popularity"))
    assert_same(one, other)


def test_test_negatives_in_proportion(tmp_path):
    """u is tested against a, b, e, f, g, whose training events are 3, 2, none; and the report says so."""
    log = one_group(tmp_path, "u c 1,u d 2,v a 1,v b 2,v c 3,w a 1,w b 2,w c 3,x a 1,x c 2,x d 3")
    parts = Protocol(log, Config(eval_negatives_by="popularity", eval_negatives=4000))
    count = np.bincount(parts.task.candidates[0, 1:], minlength=8)
    assert parts.test.user[0] == 0 and parts.popularity[0].tolist() == [0, 3, 2, 2, 0, 0, 0, 0]
    expected = 4000 * np.array([0, 3, 2, 0, 0, 1, 1, 1]) / 8
    assert count[expected == 0].sum() == 0
    assert ((count - expected)[expected > 0] ** 2 / expected[expected > 0]).sum() < 18.5  # of χ² with 4 degrees of freedom
    few = Protocol(log, Config(eval_negatives_by="popularity"))
    found = report_of(assemble(few).backend(backend="numpy"), few, few.task, np.zeros((len(few.test.user), 2)))
    assert found["negatives"] == "1 per positive, in proportion to training events, among objects that the user never touches"
