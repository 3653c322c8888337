"""The two ways to compute: NumPy, the definition, and numba, the same numbers faster."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from .arrays import Floats
from .config import Config
from .datasets.packing import Batch
from .layers import ranking
from .layers.embedding import Gradient
from .models import Model
from .models.gradients import Gradients
from .models.one_vector import has_one_vector, object_vectors, user_vectors
from .mpi import ranks
from .optimizer import RULES, SGD, Adaptive, Moments, clip
from .parameters import Params
from .randomness import Dropout


class Backend(Protocol):
    """Holds the parameters of a model while it is trained, and computes with a batch.

    params: name -> array; tables are stored divided by `table_scale`. step: training steps done so far. moments: the rest of
    the optimiser's state. All these belong to the backend while it is used; `Trained.take_from` fetches them.
    """

    name: str
    model: Model
    config: Config

    @property
    def params(self) -> Params: ...

    @property
    def step(self) -> int: ...

    @property
    def table_scale(self) -> float: ...

    @property
    def moments(self) -> Moments: ...

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Gradient]]:
        """The loss, and the gradients that the next training step would use, its dropout included."""
        ...

    def train_step(self, batch: Batch, rate: float) -> float:
        """Does one step of the optimiser with this learning rate. -> the loss before the step."""
        ...

    def scores(self, batch: Batch) -> Floats:  # -> [T]
        """Logits of all targets, without dropout."""
        ...

    def vectors(self, batch: Batch) -> tuple[Floats, Floats, Floats]:  # -> [T,D], [T,D], [T]
        """h, e and item bias of all targets, without dropout: f = h · e + bias. Not for bpr_mf, or a deep f.

        The columns may have any order, the same in both."""
        ...

    def catalogue_scores(self, batch: Batch, group: int) -> Floats:  # -> [B,M]
        """Logits of every object of a group, row 0 too, for each history of a batch without targets."""
        ...

    def warm_up(self, batch: Batch) -> float:
        """Compiles what this batch needs. -> the seconds that this took."""
        ...


def loss_and_slope(loss: str, f: Floats, batch: Batch) -> tuple[np.floating, Floats]:  # [T] -> number, [T]
    """The loss of the scores f that config.loss names, and its derivative by f."""
    if loss == "softmax":
        value, softmax = ranking.softmax_loss_forward(f, batch.log_q, batch.label, batch.target_offsets)
        return value, ranking.softmax_loss_backward(1.0, softmax)
    if loss == "pair":
        value, pairwise = ranking.pairwise_forward(f, *ranking.pairs_of(batch.label, batch.target_offsets))
        return value, ranking.pairwise_backward(1.0, pairwise)
    value, pointwise = ranking.pointwise_forward(f, batch.label)
    return value, ranking.pointwise_backward(1.0, pointwise)


def count_terms(loss: str, batch: Batch) -> int:
    """The number of terms in the mean of the loss: targets; pairs; or positives of histories that have a negative."""
    if loss == "point":
        return len(batch.label)
    positives = np.diff(np.append(0, np.cumsum(batch.label > 0))[batch.target_offsets])
    negatives = np.diff(batch.target_offsets) - positives
    return int((positives * (negatives if loss == "pair" else np.minimum(negatives, 1))).sum())


def total(shards: Sequence[dict[str, Gradient]]) -> dict[str, Gradient]:
    """The sum of the shards' gradients."""
    gradients = Gradients()
    for shard in shards:
        for name, gradient in shard.items():
            gradients.add(name, gradient)
    return gradients.total() if len(shards) > 1 else shards[0]


class NumpyBackend:
    """The Backend that computes with `layers`. `train_step` changes params in place."""

    name = "numpy"

    def __init__(
        self,
        model: Model,
        params: Params,
        config: Config,
        step: int = 0,
        table_scale: float = 1.0,
        moments: Moments | None = None,
    ) -> None:
        self.model, self.params, self.config = model, params, config
        rule, state = RULES[config.optimizer], (step, table_scale, config.table_rate)
        self.optimizer = Adaptive(rule, params, *state, moments or {}) if rule else SGD(*state)

    @property
    def step(self) -> int:
        return self.optimizer.step

    @property
    def table_scale(self) -> float:
        return self.optimizer.table_scale

    @property
    def moments(self) -> Moments:
        return self.optimizer.moments

    def gradients(self, batch: Batch) -> tuple[float, dict[str, Gradient]]:
        """The gradients of the shards, added in order. Shards are parts of the batch with equal numbers of histories."""
        size, terms = -(-len(batch.user) // self.config.parts), max(count_terms(self.config.loss, batch), 1)
        first = [(int(batch.offsets[b]), int(batch.target_offsets[b])) for b in range(0, len(batch.user), size)]
        shards = [shard for shard in zip(batch.cut(size), first) if count_terms(self.config.loss, shard[0])]
        losses, gradients = zip(*ranks().map(lambda shard: self._of_shard(*shard, terms), shards))
        return sum(losses), total(gradients)

    def _of_shard(self, shard: Batch, first: tuple[int, int], terms: int) -> tuple[float, dict[str, Gradient]]:
        """A shard's part of loss and gradients. first: its first behaviour and target; terms: of the whole batch's loss."""
        config = self.config
        dropout = Dropout(config.dropout, config.seed, self.step, first) if config.dropout else None
        scores, cache = self.model.forward(self.params, shard, self.table_scale, dropout)
        loss, dscores = loss_and_slope(config.loss, scores, shard)
        share = count_terms(config.loss, shard) / terms
        return float(loss) * share, self.model.backward(dscores * dscores.dtype.type(share), cache)

    def train_step(self, batch: Batch, rate: float) -> float:
        loss, gradients = self.gradients(batch)
        if self.config.clip:
            clip(gradients, self.config.clip)
        self.optimizer.apply(self.params, gradients, rate, self.config.l2)
        return loss

    def vectors(self, batch: Batch) -> tuple[Floats, Floats, Floats]:  # -> [T,D], [T,D], [T]
        f, cache = self.model.forward(self.params, batch, self.table_scale)
        h, e = cache.ranking[:2]
        return h, e, f - (h * e).sum(axis=1)

    def catalogue_scores(self, batch: Batch, group: int) -> Floats:  # -> [B,M]
        if has_one_vector(self.model):
            return np.asarray(user_vectors(self, batch, group) @ object_vectors(self, batch, group).T)
        objects = np.arange(self.model.space.groups[group].objects)
        return np.array([self.scores(one.with_targets(group, objects)) for one in batch.cut(1)])

    def warm_up(self, batch: Batch) -> float:
        return 0.0

    def scores(self, batch: Batch) -> Floats:  # -> [T]
        return self.model.forward(self.params, batch, self.table_scale)[0]


def make_backend(
    model: Model, params: Params, config: Config, step: int = 0, table_scale: float = 1.0, moments: Moments | None = None
) -> Backend:
    """The backend that config.backend names. numba is imported only if it is chosen: NumPy needs no compiler.

    moments: as `Backend.moments` gave them, by default zeros.
    ValueError for a model that has no kernels.
    """
    if config.backend == "numpy":
        return NumpyBackend(model, params, config, step, table_scale, moments)
    from .kernels import NumbaBackend

    return NumbaBackend(model, params, config, step, table_scale, moments)
