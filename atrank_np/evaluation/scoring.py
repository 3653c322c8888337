"""Scores of test samples with their candidates, and of the whole catalogue."""

import numpy as np

from ..arrays import Floats
from ..backend import Backend
from ..datasets.packing import pack
from ..datasets.protocol import Protocol
from ..datasets.samples import Events, Samples, Task
from ..datasets.schema import Schema

HISTORIES = 256  # per scoring batch: enough to fill the matrix products, small enough to stay in memory


def score(backend: Backend, protocol: Protocol, task: Task) -> Floats:  # -> [S,1+R]
    """Logits of a task's candidates: of all test samples that this process holds."""
    scores = np.empty(task.candidates.shape)
    batches = [
        slice(start, min(start + HISTORIES, own.test.stop))  # last bits of NumPy's products depend on what stands together
        for own in protocol.partitions
        for start in range(own.test.start, own.test.stop, HISTORIES)
    ]

    def scores_of(here: slice) -> Floats:
        batch = pack(protocol.schema, protocol.events, task.samples.take(here), task.candidates[here])
        return backend.scores(batch)

    for here, found in zip(batches, protocol.helpers.map(scores_of, batches)):
        scores[here] = found.reshape(scores[here].shape)
    return scores


def catalogue_scores(backend: Backend, schema: Schema, events: Events, samples: Samples) -> Floats:  # -> [S,M]
    """Logits of every object for samples of one target group, row 0 (`unknown`) too."""
    batch = pack(schema, events, samples, np.zeros((len(samples.user), 0), np.int32))
    return backend.catalogue_scores(batch, int(samples.group[0]))
