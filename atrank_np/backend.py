"""The two ways to compute: NumPy, the definition, and numba, the same numbers faster."""

from typing import Protocol

import numpy as np

from .arrays import Floats
from .config import Config
from .datasets.packing import Batch
from .layers.embedding import Gradient
from .layers.ranking import pairs_of, pairwise_backward, pairwise_forward, pointwise_backward, pointwise_forward
from .models import Model
from .models.one_vector import has_one_vector, object_vectors, user_vectors
from .optimizer import SGD, clip
from .parameters import Params
from .randomness import Dropout


class Backend(Protocol):
    """Holds the parameters of a model while it is trained, and computes with a batch.

    params: name -> array; tables are stored divided by `table_scale`. step: training steps done so far. While a backend is
    used, both belong to it; `Trained.take_from` fetches them.
    """

    name: str
    model: Model

    @property
    def params(self) -> Params: ...

    @property
    def step(self) -> int: ...

    @property
    def table_scale(self) -> float: ...

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Gradient]]:
        """The loss, and the gradients that the next training step would use, its dropout included."""
        ...

    def train_step(self, batch: Batch, rate: float) -> float:
        """One step of gradient descent with this learning rate; the loss before it."""
        ...

    def scores(self, batch: Batch) -> Floats:  # -> [T]
        """Logits of all targets, without dropout."""
        ...

    def catalogue_scores(self, batch: Batch, group: int) -> Floats:  # -> [B,M]
        """Logits of every object of a group, row 0 too, for each history of a batch without targets."""
        ...

    def warm_up(self, batch: Batch) -> float:
        """Compiles what this batch needs; the seconds that it took."""
        ...


class NumpyBackend:
    """The Backend that computes with `layers`. `train_step` changes params in place."""

    name = "numpy"

    def __init__(self, model: Model, params: Params, config: Config, step: int = 0, table_scale: float = 1.0) -> None:
        self.model, self.params, self.config = model, params, config
        self.optimizer = SGD(step, table_scale)

    @property
    def step(self) -> int:
        return self.optimizer.step

    @property
    def table_scale(self) -> float:
        return self.optimizer.table_scale

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Gradient]]:
        config = self.config
        dropout = Dropout(config.dropout, config.seed, self.step) if config.dropout else None
        scores, cache = self.model.forward(self.params, batch, self.table_scale, dropout)
        if config.loss == "pair":
            pairs = pairs_of(batch.label, batch.target_offsets)
            loss, pairwise_cache = pairwise_forward(scores, *pairs)
            dscores = pairwise_backward(1.0, pairwise_cache)
        else:
            loss, pointwise_cache = pointwise_forward(scores, batch.label)
            dscores = pointwise_backward(1.0, pointwise_cache)
        return float(loss), self.model.backward(dscores, cache)

    def train_step(self, batch: Batch, rate: float) -> float:
        loss, gradients = self.gradients(batch)
        if self.config.clip:
            clip(gradients, self.config.clip)
        self.optimizer.apply(self.params, gradients, rate, self.config.l2)
        return loss

    def catalogue_scores(self, batch: Batch, group: int) -> Floats:  # -> [B,M]
        if has_one_vector(self.model):
            e = user_vectors(self.model, self.params, batch, group, self.table_scale)
            return np.asarray(e @ object_vectors(self.model, self.params, group, self.table_scale).T)
        objects = np.arange(self.model.space.groups[group].objects)
        return np.array([self.scores(one.with_targets(group, objects)) for one in batch.cut(1)])

    def warm_up(self, batch: Batch) -> float:
        return 0.0

    def scores(self, batch: Batch) -> Floats:  # -> [T]
        return self.model.forward(self.params, batch, self.table_scale)[0]


def make_backend(model: Model, params: Params, config: Config, step: int = 0, table_scale: float = 1.0) -> Backend:
    """The backend that config.backend names. numba is imported only here, when that one is chosen: NumPy needs no compiler.

    ValueError for a model that has no kernels.
    """
    if config.backend == "numpy":
        return NumpyBackend(model, params, config, step, table_scale)
    from .kernels import NumbaBackend

    return NumbaBackend(model, params, config, step, table_scale)
