"""A log in partitions: who holds what, and how batches and negatives are drawn. What ranks do together is in test_mpi."""

import contextlib
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from zlib import crc32

import numpy as np
import pytest
from logs import moments, write
from runs import write_tiny

from atrank_np.config import Config
from atrank_np.datasets import partition
from atrank_np.datasets.batches import Batches
from atrank_np.datasets.log import user_of_event, with_events
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.tables import Encoded
from atrank_np.errors import DataError
from atrank_np.evaluation.controls import swapped
from atrank_np.mpi import Ranks

PARTITIONS = Config(partition=True, shards=5, batch_size=64, negatives=3)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return read_log(write_tiny(tmp_path_factory.mktemp("data") / "log", users=400))


def partition_of_user(log):
    return np.array([crc32(name.encode()) % 5 for name in log.users])


def without_partition(log, number):
    return with_events(log, partition_of_user(log)[user_of_event(log)] != number)


def as_rank(monkeypatch, rank, size):
    monkeypatch.setattr(partition, "ranks", lambda: SimpleNamespace(rank=rank, size=size))


def test_samples_stand_by_the_partition_of_their_user(log):
    protocol, whole, part = Protocol(log, PARTITIONS), Protocol(log), partition_of_user(log)
    assert [own.key for own in protocol.partitions] == [(0,), (1,), (2,), (3,), (4,)]
    for samples, every, kind in ((protocol.train, whole.train, "train"), (protocol.test, whole.test, "test")):
        assert sorted(zip(*samples)) == sorted(zip(*every))
        for own in protocol.partitions:
            assert (part[samples.user[getattr(own, kind)]] == own.key[0]).all()
    sizes = [[part[samples.user].tolist().count(p) for samples in (whole.train, whole.test)] for p in range(5)]
    assert (
        protocol.sizes.tolist() == sizes
        and protocol.part_of(protocol.test).tolist() == np.repeat(range(5), np.array(sizes)[:, 1]).tolist()
    )
    assert [own.train.stop - own.train.start for own in protocol.partitions] == [train for train, _ in sizes]


@pytest.mark.parametrize("drawn", [2**25, 600])
def test_each_batch_has_the_same_share_of_each_partition(log, drawn, monkeypatch):
    """And each sample stands in one batch of an epoch, with negatives that its user never takes."""
    monkeypatch.setattr("atrank_np.datasets.batches.DRAWN", drawn)
    protocol, part = Protocol(log, PARTITIONS), partition_of_user(log)
    batches = Batches(protocol)
    epoch = [batches.batch(0, i) for i in range(batches.per_epoch)]
    found = Counter(zip(np.concatenate([b.user for b in epoch]) - 1, np.concatenate([b.target_object[::4] for b in epoch])))
    assert found == Counter(zip(protocol.train.user, protocol.train.object))
    S = len(protocol.train)
    assert batches.blocks == (1 if drawn == 600 else 2**25 // (32 * 16 * 3))
    for i, batch in enumerate(epoch):
        user, group, objects = batch.user.repeat(4) - 1, batch.target_group, batch.target_object[:, None]
        for g in np.unique(group):
            some = (group == g) & (batch.label == 0)
            assert not protocol.negatives._takes(g, user[some], objects[some]).any()
        own = part[batch.user - 1]
        assert (np.diff(own) >= 0).all()
        before, after = (min(16 * b, S) * protocol.sizes[:, 0] // S for b in (i, i + 1))
        assert np.bincount(own, minlength=5).tolist() == (after - before).tolist()
    targets = np.cumsum([len(batch.label) for batch in epoch])
    assert [batches.seen(i) for i in range(1, len(epoch) + 1)] == targets.tolist()
    again = [batches.batch(1, i).user for i in range(batches.per_epoch)]
    assert not np.array_equal(np.concatenate(again), np.concatenate([b.user for b in epoch]))


def test_a_partition_draws_alone(log):
    """Its order and its negatives, in training and for the test, do not depend on other partitions."""
    found = []
    for some in (log, without_partition(log, 2)):
        protocol = Protocol(some, PARTITIONS)
        part, batches = partition_of_user(log), Batches(protocol)
        epoch = [batches.batch(0, i) for i in range(batches.per_epoch)]
        user, objects = (
            np.concatenate([b.user for b in epoch]) - 1,
            np.concatenate([b.target_object for b in epoch]).reshape(-1, 4),
        )
        trained = [np.column_stack([user, objects])[part[user] == p] for p in (0, 1, 3, 4)]
        tested = [protocol.task.candidates[protocol.part_of(protocol.test) == p] for p in (0, 1, 3, 4)]
        found.append((trained, tested))
    for whole, less in zip(*found):
        for a, b in zip(whole, less):
            n = min(len(a), len(b))
            assert n > 20 and np.array_equal(a[:n], b[:n])
    unlike = found[0][0][0][:20, 1:], found[0][0][1][:20, 1:]
    assert not np.array_equal(*unlike)


def test_partitions_of_one_size_have_streams_of_their_own(tmp_path):
    """Two users with the same behaviours, in two partitions: order and negatives differ, in training and for the test."""
    names = [next(n for n in map(str, range(99)) if crc32(n.encode()) % 2 == p) for p in (0, 1)]
    rows = [f"{name},{'xyz'[i % 3]}{i},{i}" for name in names for i in range(40)]
    items = [f"{letter}{i}" for letter in "xyz" for i in range(40)]
    log = read_log(write(tmp_path, events_csv="user,object,time\n" + "\n".join(rows), items_csv="object\n" + "\n".join(items)))
    protocol = Protocol(log, Config(partition=True, shards=2, eval_negatives=20))
    batches = Batches(protocol)
    batches.batch(0, 0)
    orders = batches.order
    own = [orders[(orders >= part.train.start) & (orders < part.train.stop)] - part.train.start for part in protocol.partitions]
    assert len(own[0]) == len(own[1]) == 38 and not np.array_equal(*own)
    assert not np.array_equal(*batches.drawn.reshape(2, 38)) and not np.array_equal(*protocol.task.candidates[:, 1:])


def test_histories_are_swapped_within_a_partition():
    four = moments([5, 6, 7, 8])
    assert swapped(four).user.tolist() == [6, 7, 8, 5]
    assert swapped(four, np.array([0, 1, 0, 1])).user.tolist() == [7, 8, 5, 6]
    assert swapped(four._replace(group=np.array([0, 1, 1, 1])), np.array([0, 0, 1, 1])).user.tolist() == [5, 6, 8, 7]


@pytest.mark.parametrize(
    "count, size, expected", [(4, 2, [[0, 1], [2, 3]]), (6, 3, [[0, 1], [2, 3], [4, 5]]), (3, 1, [[0, 1, 2]])]
)
def test_ranks_hold_neighbouring_partitions(count, size, expected, monkeypatch):
    for rank in range(size):
        as_rank(monkeypatch, rank, size)
        assert list(partition.own_partitions(count)) == expected[rank]


@pytest.mark.parametrize("encoded", [False, True])
def test_the_rows_of_own_users(encoded, monkeypatch):
    """Block by block, where a block names users of earlier ones too, or of none."""
    as_rank(monkeypatch, 1, 2)
    rows, numbers = partition.OwnRows(4), {}
    for block in (["a", "b", "a", "c"], ["c", "d", "a"], [], ["e", "a", "f", "g"]):
        user = np.array([numbers.setdefault(name, len(numbers)) for name in block], int)
        names = (
            Encoded(list(dict.fromkeys(block)), np.array([list(dict.fromkeys(block)).index(n) for n in block], int))
            if encoded
            else block
        )
        assert rows(user, names).tolist() == [crc32(name.encode()) % 4 >= 2 for name in block]


@pytest.mark.parametrize("kinds, alike", [((True, None, True), True), ((False, None), True), ((True, None, False), False)])
def test_part_files_have_times_of_one_kind(kinds, alike):
    """Of each rank: whether its files have dates; None: it has no events."""
    found = SimpleNamespace(gather=lambda own: list(kinds))
    with contextlib.nullcontext() if alike else pytest.raises(DataError, match="dates in some and numbers in others"):
        partition.must_be_alike(found, "events.parquet", kinds[0])


def test_one_rank_gathers_nothing():
    alone, own = Ranks(), np.arange(3)
    assert alone.stack(own) is own and alone.sum(own) is own and alone.gather(3) == [3] and alone.swap([own]) == [own]
    assert alone.count({"a": 2}) == {"a": 2}


def test_test_samples_spread_evenly(log):
    whole = Protocol(log, replace(PARTITIONS, partition=False))
    for protocol in (whole, Protocol(log, PARTITIONS)):
        tests = len(protocol.test.user)
        places = np.unique(np.linspace(0, tests - 1, 100).astype(int))
        assert protocol.some_tests(100).user.tolist() == protocol.test.user[places].tolist()
        assert len(protocol.some_tests(10**6).user) == tests
