"""The two ways to compute: NumPy, the definition, and numba, the same numbers faster.

A backend holds the parameters of a model while it is trained, and does three things with a batch: `train_step`,
`gradients` (what the step would use, for tests and for looking inside) and `scores`.
"""

from typing import Protocol

import numpy as np

from .datasets.packing import Batch
from .layers.ranking import pairs_of, pairwise_backward, pairwise_forward, pointwise_backward, pointwise_forward
from .optimizer import SGD, clip
from .randomness import Dropout


class Backend(Protocol):
    """What both can do. While it is used, parameters and step belong to it; `Trained.take_from` fetches them."""

    params: dict[str, np.ndarray]
    step: int
    table_scale: float

    def train_step(self, batch: Batch, rate: float) -> float: ...
    def gradients(self, batch: Batch) -> tuple[float, dict]: ...
    def scores(self, batch: Batch) -> np.ndarray: ...
    def catalogue_scores(self, batch: Batch, group: int) -> np.ndarray: ...
    def warm_up(self, batch: Batch) -> float: ...


class NumpyBackend:
    """params: name -> array, changed in place by `train_step`; tables are stored divided by `table_scale`."""

    name = "numpy"

    def __init__(self, model, params, config, step=0, table_scale=1.0):
        self.model, self.params, self.config = model, params, config
        self.optimizer = SGD(step, table_scale)

    @property
    def step(self):
        return self.optimizer.step

    @property
    def table_scale(self):
        return self.optimizer.table_scale

    def gradients(self, batch):
        """-> loss, gradients by name, of the next training step (its dropout included)."""
        config = self.config
        dropout = Dropout(config.dropout, config.seed, self.step) if config.dropout else None
        scores, cache = self.model.forward(self.params, batch, self.table_scale, dropout)
        if config.loss == "pair":
            pairs = pairs_of(batch.label, batch.target_offsets)
            loss, loss_cache = pairwise_forward(scores, *pairs)
            dscores = pairwise_backward(1.0, loss_cache)
        else:
            loss, loss_cache = pointwise_forward(scores, batch.label)
            dscores = pointwise_backward(1.0, loss_cache)
        return float(loss), self.model.backward(dscores, cache)

    def train_step(self, batch, rate):
        """One step of gradient descent; the loss before it."""
        loss, gradients = self.gradients(batch)
        if self.config.clip:
            clip(gradients, self.config.clip)
        self.optimizer.apply(self.params, gradients, rate, self.config.l2)
        return loss

    def catalogue_scores(self, batch, group):
        """Logits [M] of every object of a group (its index), row 0 too, for the one history of a batch without targets."""
        return self.scores(batch.with_targets(group, np.arange(self.model.space.groups[group].objects)))

    def warm_up(self, batch):
        """Seconds that compiling took: none."""
        return 0.0

    def scores(self, batch):
        """Logits of all targets [T], without dropout."""
        return self.model.forward(self.params, batch, self.table_scale)[0]


def make_backend(model, params, config, step=0, table_scale=1.0):
    """The backend that config.backend names. numba is imported here, and only here, when it is asked for."""
    if config.backend == "numpy":
        return NumpyBackend(model, params, config, step, table_scale)
    from .kernels import NumbaBackend

    return NumbaBackend(model, params, config, step, table_scale)
