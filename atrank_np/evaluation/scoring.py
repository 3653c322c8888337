"""What is scored, and by whom: test samples with their candidates, and the whole catalogue."""

from typing import NamedTuple

import numpy as np

from ..datasets.negatives import Negatives
from ..datasets.packing import pack
from ..datasets.samples import Samples
from ..randomness import stream

HISTORIES = 256  # per scoring batch: enough to fill the matrix products, small enough to stay in memory


class Task(NamedTuple):
    """What is scored: the test samples [S] with their candidates [S, 1+R], the positive first."""

    samples: Samples
    candidates: np.ndarray
    uniform: dict = {}  # group that has negative_actions -> how many of its negatives are uniform, for want of shown ones


def test_task(log, test, config):
    """The test samples with negatives that depend on the data set and eval_seed alone, never on model or seed.

    Each group has a random stream of its own, so that its negatives are the same whatever else is ranked.
    """
    negatives = Negatives(log, config.validate)
    candidates = np.repeat(test.object[:, None], 1 + config.eval_negatives, axis=1)
    for g in np.unique(test.group):
        rows = np.flatnonzero(test.group == g)
        rng = stream(config.eval_seed, "evaluation negatives", g)
        candidates[rows, 1:] = negatives.draw(rng, test.take(rows), config.eval_negatives)
    return Task(test, candidates, negatives.uniform(test, config.eval_negatives))


def score(backend, schema, events, task):
    """Logits [S, 1+R] of a task's candidates."""
    scores = np.empty(task.candidates.shape)
    for start in range(0, len(scores), HISTORIES):
        here = slice(start, start + HISTORIES)
        batch = pack(schema, events, task.samples.take(here), task.candidates[here])
        scores[here] = backend.scores(batch).reshape(scores[here].shape)
    return scores


def catalogue_scores(backend, schema, events, sample):
    """Logits [M] of every object of the target group for one sample; row 0, `unknown`, too."""
    batch = pack(schema, events, sample, np.zeros((1, 0), np.int32))
    return backend.catalogue_scores(batch, int(sample.group[0])).astype(np.float64)
