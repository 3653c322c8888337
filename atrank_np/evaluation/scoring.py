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
    """Logits of a task's candidates."""
    scores = np.empty(task.candidates.shape)
    for start in range(0, len(scores), HISTORIES):
        here = slice(start, start + HISTORIES)
        batch = pack(protocol.schema, protocol.events, task.samples.take(here), task.candidates[here])
        scores[here] = backend.scores(batch).reshape(scores[here].shape)
    return scores


def catalogue_scores(backend: Backend, schema: Schema, events: Events, samples: Samples) -> Floats:  # -> [S,M]
    """Logits of every object for samples of one target group, row 0 (`unknown`) too."""
    batch = pack(schema, events, samples, np.zeros((len(samples.user), 0), np.int32))
    return backend.catalogue_scores(batch, int(samples.group[0]))
