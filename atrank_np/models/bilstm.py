"""The recurrent competitors of the paper: a bidirectional LSTM over the history, depth 1, D hidden units each way.

BiLSTM: its two final states give one user vector for all targets. BiLSTMAttention: each target attends over its outputs.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Floats, Ints
from ..datasets.packing import Batch
from ..layers.attention import attention_weights
from ..layers.lstm import EndsCache, LSTMCache, ends_backward, ends_forward, lstm_backward, lstm_forward
from ..layers.perceptron import LinearCache, linear_backward, linear_forward
from ..layers.ranking import BroadcastCache, broadcast_user_backward, broadcast_user_forward
from ..parameters import Params, Shapes
from ..randomness import Dropout
from .common_space import CommonSpace
from .gradients import Gradients
from .ranker import AttendedCache, Ranker

LSTM = ("W", "U", "b")
DIRECTIONS = {"forwards": False, "backwards": True}


def bilstm_shapes(D: int) -> Shapes:
    shapes = Shapes()
    for direction in DIRECTIONS:
        shapes |= {f"{direction}.W": (D, 4 * D), f"{direction}.U": (D, 4 * D), f"{direction}.b": (4 * D,)}
    return shapes


def bilstm_forward(params: Params, S: Floats, offsets: Ints) -> tuple[Floats, tuple[LSTMCache, ...]]:  # [N,D], [B+1] -> [N,2D]
    """The states after each behaviour, of both directions side by side. Cache: one for each direction."""
    found = []
    for direction, backwards in DIRECTIONS.items():
        W, U, b = (params[f"{direction}.{name}"] for name in LSTM)
        found.append(lstm_forward(S, W, U, b, offsets, backwards))  # F1
    states, caches = zip(*found)
    return np.concatenate(states, axis=1), caches  # F2


def bilstm_backward(dY: Floats, caches: Sequence[LSTMCache], gradients: Gradients) -> Floats:  # [N,2D] -> [N,D]
    """dS; the parameters' gradients are added to `gradients`."""
    dS = np.zeros_like(caches[0].linear.x)
    for direction, half, cache in zip(DIRECTIONS, np.split(dY, 2, axis=1), caches):  # B2
        dx, *own = lstm_backward(half, cache)  # B1
        gradients.add_all(f"{direction}.", LSTM, own)
        dS = dS + dx
    return dS


class Recurrent(Ranker):
    """What both have in common: their initial parameters."""

    def init(
        self, seed: int, dense: float = 0.088, table: float = 0.1, gain: float = 0.1, dtype: DTypeLike = np.float32
    ) -> Params:
        """As for any model, but the forget gates' biases are 1, so the gates start at σ(1) = 0.73. At σ(0) = 0.5 a state would
        be halved at every step."""
        params, D = super().init(seed, dense, table, gain, dtype), self.space.width
        for direction in DIRECTIONS:
            params[f"{direction}.b"][D : 2 * D] = 1
        return params


class FinalStatesCache(NamedTuple):
    lstm: tuple[LSTMCache, ...]
    ends: EndsCache
    user: LinearCache
    broadcast: BroadcastCache


class BiLSTM(Recurrent):
    """e = (last state forwards, last state backwards) W + b."""

    def user_shapes(self, D: int) -> Shapes:
        return bilstm_shapes(D) | {"user.W": (2 * D, D), "user.b": (D,)}

    def user_forward(
        self, params: Params, S: Floats, h: Floats, batch: Batch, dropout: Dropout | None
    ) -> tuple[Floats, FinalStatesCache]:  # [N,D], [T,D] -> [T,D]
        Y, lstm = bilstm_forward(params, S, batch.offsets)  # F1
        ends, ends_cache = ends_forward(Y, batch.offsets)  # F2
        user, user_cache = linear_forward(ends, params["user.W"], params["user.b"])  # F3
        e, broadcast = broadcast_user_forward(user, batch.target_offsets)  # F4
        return e, FinalStatesCache(lstm, ends_cache, user_cache, broadcast)

    def user_backward(
        self, de: Floats, cache: FinalStatesCache, gradients: Gradients
    ) -> tuple[Floats, float]:  # [T,D] -> [N,D], number
        lstm, ends_cache, user_cache, broadcast = cache
        dends, dW, db = linear_backward(broadcast_user_backward(de, broadcast), user_cache)  # B4, B3
        gradients.add_all("user.", ("W", "b"), (dW, db))
        dS = bilstm_backward(ends_backward(dends, ends_cache), lstm, gradients)  # B2, B1
        return dS, 0  # h is used in f only


class UserCache(NamedTuple):
    lstm: tuple[LSTMCache, ...]
    vanilla: AttendedCache

    def weights(self) -> dict[str, list[Floats | None]]:
        """As for ATRank, but with the vanilla attention only."""
        return {"vanilla": attention_weights(self.vanilla.attention)}


class BiLSTMAttention(Recurrent):
    """e_t as in (7), over the outputs of the LSTM instead of C: keys and values are projections of rows of width 2D."""

    def __init__(self, space: CommonSpace, spaces: int, ranking: str = "dot") -> None:
        super().__init__(space, ranking)
        self.K = spaces

    def user_shapes(self, D: int) -> Shapes:
        return bilstm_shapes(D) | self.attention_shapes("vanilla", 2 * D)

    def user_forward(
        self, params: Params, S: Floats, h: Floats, batch: Batch, dropout: Dropout | None
    ) -> tuple[Floats, UserCache]:  # [N,D], [T,D] -> [T,D]
        Y, lstm = bilstm_forward(params, S, batch.offsets)  # F1
        mask = partial(dropout.mask, 1) if dropout else None
        e, vanilla = self.attend("vanilla", params, h, Y, batch.target_offsets, batch.offsets, mask)  # F2 (7)
        return e, UserCache(lstm, vanilla)

    def user_backward(self, de: Floats, cache: UserCache, gradients: Gradients) -> tuple[Floats, Floats]:  # [T,D] -> [N,D], [T,D]
        dh, dY = self.attend_backward("vanilla", de, cache.vanilla, gradients)  # B2
        return bilstm_backward(dY, cache.lstm, gradients), dh  # B1
