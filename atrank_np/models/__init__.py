"""Models: layers composed, with parameters by name, `forward` to scores and `backward` to gradients."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Floats
from ..config import Config
from ..datasets.packing import Batch
from ..layers.embedding import Gradient
from ..parameters import Params, Shapes
from ..randomness import Dropout
from .bilstm import BiLSTM, BiLSTMAttention
from .bpr_mf import BPRMF
from .cnn import CNN
from .common_space import CommonSpace, GroupSpace
from .variants import CLASSES


class Model(Protocol):
    """What every model can do. Its cache may have any type: only its own `backward` reads it."""

    space: CommonSpace

    def shapes(self) -> Shapes: ...

    def init(
        self, seed: int, dense: float = 0.088, table: float = 0.1, gain: float = 0.1, dtype: DTypeLike = np.float32
    ) -> Params: ...

    def forward(
        self, params: Params, batch: Batch, table_scale: float = 1.0, dropout: Dropout | None = None
    ) -> tuple[Floats, Any]: ...

    def backward(self, df: Floats, cache: Any) -> dict[str, Gradient]: ...


def make_space(
    config: Config, groups: Sequence[GroupSpace], width: int, actions: int, tables: dict[str, int], item_bias: bool
) -> CommonSpace:
    """The CommonSpace of config.variant, from the arguments of its constructor."""
    _, space = CLASSES[config.variant]
    return space(groups, width, actions, tables, item_bias, config.places)


def make_model(config: Config, space: CommonSpace, users: int) -> Model:
    """The model that config.model names. users: rows of a table of users, one more than the log has: row 0 is unknown."""
    if config.model == "atrank":
        model, _ = CLASSES[config.variant]
        return model(space, config.spaces, config.ranking)
    if config.model == "bilstm_attention":
        return BiLSTMAttention(space, config.spaces, config.ranking)
    if config.model == "bpr_mf":
        return BPRMF(space, users)
    if config.model == "bilstm":
        return BiLSTM(space, config.ranking)
    return CNN(space, config.ranking)
