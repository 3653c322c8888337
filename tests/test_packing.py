import doctest
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import assert_same

from atrank_np.datasets import packing, schema
from atrank_np.datasets.packing import bucketize, pack
from atrank_np.datasets.samples import Events, Samples


@pytest.mark.parametrize("module", [packing, schema])
def test_examples_of_the_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def test_buckets_are_bit_lengths():
    elapsed = np.array([0, 1, 2, 3, 4, 7, 8, 15, 16])
    assert bucketize(elapsed, 1, 99).tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5]
    assert bucketize(elapsed, 1, 4).tolist() == [0, 1, 2, 2, 3, 3, 3, 3, 3]
    assert bucketize(np.array([0, 86399, 86400, 2 * 86400 - 1, 2 * 86400]), 86400, 14).tolist() == [0, 0, 1, 1, 2]


def test_buckets_are_exact_for_long_times():
    """log2 in floating point rounds 2^49 - 1 up to 49."""
    for k in range(1, 50):
        assert bucketize(np.array([2**k - 1, 2**k]), 1, 99).tolist() == [k, k + 1]
    assert bucketize(np.array([2**62]), 1, 14).tolist() == [13]


def example():
    """Five behaviours, ranked for two users and for nobody of the log; two groups, the second counted in units of 10 ticks."""
    schema = SimpleNamespace(groups=(SimpleNamespace(unit=1, buckets=9), SimpleNamespace(unit=10, buckets=3)))
    events = Events(
        group=np.array([0, 1, 0, 1, 0], np.int8),
        object=np.array([3, 1, 4, 2, 5], np.int32),
        action=np.array([0, 1, 2, 0, 1], np.int16),
        time=np.array([100, 101, 104, 140, 148]),
    )
    samples = Samples(*map(np.array, ([4, 0, -1], [1, 0, 0], [4, 1, 0], [148, 101, 100], [0, 1, 0], [5, 1, 3])))
    return schema, events, samples, np.array([[5, 7], [1, 9], [3, 8]], np.int32)


def test_pack_by_hand():
    batch = pack(*example())
    expected = dict(
        offsets=[0, 3, 4, 4],
        group=[1, 0, 1, 0],
        object=[1, 4, 2, 3],
        bucket=[2, 6, 0, 1],  # 47 // 10 = 4, in the last, open bucket; 44; 8 // 10 = 0; 1
        action=[1, 2, 0, 0],
        target_offsets=[0, 2, 4, 6],
        target_group=[0, 0, 1, 1, 0, 0],
        target_object=[5, 7, 1, 9, 3, 8],
        label=[1, 0, 1, 0, 1, 0],
        user=[5, 1, 0],
        elapsed=np.float32([4.7, 44, 0.8, 1]).tolist(),
        log_q=[0] * 6,
    )
    assert {name: column.tolist() for name, column in batch._asdict().items()} == expected


@pytest.mark.parametrize("histories", [1, 2, 3, 5])
def test_cut_is_packed_in_parts(histories):
    schema, events, samples, candidates = example()
    parts = list(pack(schema, events, samples, candidates).cut(histories))
    assert len(parts) == -(-3 // histories)
    for place, part in enumerate(parts):
        some = slice(place * histories, (place + 1) * histories)
        alone = pack(schema, events, samples.take(some), candidates[some])
        assert_same(tuple(part), tuple(alone))
        assert [column.dtype for column in part] == [column.dtype for column in alone]


def test_what_is_only_scored_has_no_correction():
    """Each target keeps its own when a batch is cut; new targets have none."""
    batch = pack(*example())._replace(log_q=np.arange(6, dtype=np.float32))
    assert [part.log_q.tolist() for part in batch.cut(2)] == [[0, 1, 2, 3], [4, 5]]
    assert [part.with_targets(0, [1, 2, 3]).log_q.tolist() for part in batch.cut(1)] == [[0, 0, 0]] * 3


def test_the_types_do_not_depend_on_those_of_the_samples():
    """One history to rank now, of Python's numbers, must not be compiled anew."""
    types = ["int64", "int8", "int32", "int32", "int16", "int64", "int8", "int32", "float32", "int32", "float32", "float32"]
    schema, events, samples, candidates = example()
    columns = zip(samples, (np.int32, np.int32, np.int32, np.int64, np.int8, np.int32))
    small = Samples(*(column.astype(kind) for column, kind in columns))
    for given in ((samples, candidates.astype(np.int64)), (small, candidates)):
        assert [column.dtype.name for column in pack(schema, events, *given)] == types


def test_history_does_not_hold_its_target():
    batch = pack(*example())
    for b, (start, stop) in enumerate(zip(batch.offsets, batch.offsets[1:])):
        assert batch.target_object[2 * b] not in batch.object[start:stop]


@pytest.mark.parametrize("shift", [-100, 10**9])
def test_shifting_all_times_does_not_matter(shift):
    schema, events, samples, candidates = example()
    moved = pack(schema, events._replace(time=events.time + shift), samples._replace(time=samples.time + shift), candidates)
    assert_same(tuple(moved), tuple(pack(schema, events, samples, candidates)))
