"""How the batches of an epoch are packed. What is in them, and that a run can be resumed anywhere, is in test_train."""

import numpy as np
import pytest

from atrank_np.config import Config
from atrank_np.datasets import batches
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log


@pytest.mark.parametrize("together, size", [(1, 4), (4, 4), (11, 8), (12, 12), (10**6, None)])
def test_so_many_histories_are_packed_at_a_time(tiny, monkeypatch, together, size):
    """Whole batches of four histories, as many as TOGETHER holds, but at least one."""
    monkeypatch.setattr(batches, "TOGETHER", together)
    packed, pack = [], batches.pack

    def counted(schema, events, samples, candidates):
        packed.append(len(samples.user))
        return pack(schema, events, samples, candidates)

    monkeypatch.setattr(batches, "pack", counted)
    epoch = batches.Batches(Protocol(read_log(tiny), Config(batch_size=8)))
    found = [epoch.batch(0, i) for i in range(epoch.per_epoch)]
    S = len(epoch.train)
    assert S > 24 and {len(batch.user) for batch in found[:-1]} == {4}
    assert sum(packed) == S == sum(len(batch.user) for batch in found)
    assert packed[0] == (size or S) and set(packed[:-1]) <= {size}


def test_the_samples_seen(tiny):
    """Targets, over the end of an epoch, whose last batch is smaller."""
    epoch = batches.Batches(Protocol(read_log(tiny), Config(batch_size=8)))
    size = [len(epoch.batch(e, i).label) for e in range(2) for i in range(epoch.per_epoch)]
    assert 0 < size[epoch.per_epoch - 1] < 8
    assert [epoch.seen(step) for step in range(len(size) + 1)] == [0, *np.cumsum(size).tolist()]
