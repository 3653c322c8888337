"""The batches of a training: every sample once in an epoch, with negatives of its user."""

import numpy as np
import pytest
from helpers import assert_same
from runs import batches_of

from atrank_np.datasets import batches
from atrank_np.datasets.reading import read_log
from atrank_np.randomness import stream


def test_an_epoch_has_every_sample_once(tiny):
    batches = batches_of(tiny)
    orders = []
    for epoch in range(2):
        seen = [batches.batch(epoch, i) for i in range(batches.per_epoch)]
        positives = np.concatenate([np.stack([b.target_group, b.target_object])[:, b.label > 0].T for b in seen]).tolist()
        expected = np.stack([batches.train.group, batches.train.object]).T.tolist()
        assert sorted(positives) == sorted(expected)
        assert [len(b.label) for b in seen] == [8] * (len(seen) - 1) + [batches.targets - 8 * (len(seen) - 1)]
        orders.append(positives)
    assert orders[0] != orders[1]


def test_the_negatives_of_a_batch_are_those_of_its_users(tiny):
    """In whatever order the samples come: never what that user touches."""
    log, batches = read_log(tiny), batches_of(tiny, negatives=3)
    users = np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
    touched = set(zip(users.tolist(), log.group.tolist(), log.object.tolist()))
    for i in range(batches.per_epoch):
        batch = batches.batch(1, i)
        user = np.repeat(batch.user - 1, np.diff(batch.target_offsets))
        drawn = [column[batch.label == 0].tolist() for column in (user, batch.target_group, batch.target_object)]
        assert touched.isdisjoint(zip(*drawn))


@pytest.mark.parametrize("together", [1, 8, 512])
def test_a_batch_is_a_function_of_its_place(together, tiny, monkeypatch):
    """However many are packed at a time."""
    anew = batches_of(tiny)
    monkeypatch.setattr(batches, "TOGETHER", together)
    forwards = batches_of(tiny)
    first = [tuple(forwards.batch(epoch, i)) for epoch in range(2) for i in (0, 3)]
    assert_same(first[3], tuple(anew.batch(1, 3)))
    assert_same(first[0], tuple(anew.batch(0, 0)))
    for i in range(anew.per_epoch):
        assert_same(tuple(forwards.batch(0, i)), tuple(anew.batch(0, i)))


def test_many_negatives_are_drawn_in_parts(tiny, monkeypatch):
    """So that what is held is bounded: here negatives of two blocks of two batches of two histories. Each part has its own."""
    whole, streams = batches_of(tiny, negatives=3), []
    whole.batch(1, 0)
    monkeypatch.setattr(batches, "TOGETHER", 4)
    monkeypatch.setattr(batches, "DRAWN", 26)
    monkeypatch.setattr(batches, "stream", lambda seed, *what: streams.append(what) or stream(seed, *what))
    parts, log = batches_of(tiny, negatives=3), read_log(tiny)
    users = np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
    touched = set(zip(users.tolist(), log.group.tolist(), log.object.tolist()))
    for i in range(parts.per_epoch):
        batch, same = parts.batch(1, i), whole.batch(1, i)
        assert len(parts.drawn) == min(8, len(parts.train) - 8 * (i // 4))
        for name in ("offsets", "object", "user", "label"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(same, name))
        np.testing.assert_array_equal(batch.target_object[::4], same.target_object[::4])
        user = np.repeat(batch.user - 1, 4)
        assert touched.isdisjoint(
            zip(*(column[batch.label == 0].tolist() for column in (user, batch.target_group, batch.target_object)))
        )
    count = -(-len(parts.train) // 8)
    drawn = [what for what in streams if what[0] == "negatives"]
    assert drawn == [("negatives", 1), *(("negatives", 1, part) for part in range(1, count))] and count > 2
    assert_same(tuple(batches_of(tiny, negatives=3).batch(1, 9)), tuple(parts.batch(1, 9)))


@pytest.mark.parametrize("fresh", [True, False])
def test_negatives_afresh_or_once(tiny, fresh):
    batches, drawn = batches_of(tiny, fresh_negatives=fresh, negatives=3), []
    for epoch in range(2):
        batches.batch(epoch, 0)
        drawn.append(batches.drawn)
    assert np.array_equal(*drawn) != fresh
    assert drawn[0].shape == (len(batches.train.user), 3)
