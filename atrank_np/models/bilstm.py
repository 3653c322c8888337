"""The recurrent competitors of the paper: a bidirectional LSTM over the history, depth 1, D hidden units each way.

Plain, its two final states make one user vector for all targets; with attention, each target attends over its outputs.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..layers.attention import attention_weights
from ..layers.lstm import ends_backward, ends_forward, lstm_backward, lstm_forward
from ..layers.perceptron import linear_backward, linear_forward
from ..layers.ranking import broadcast_user_backward, broadcast_user_forward
from .ranker import Ranker

LSTM = ("W", "U", "b")
DIRECTIONS = {"forwards": False, "backwards": True}


def bilstm_shapes(D):
    shapes = {}
    for direction in DIRECTIONS:
        shapes |= {f"{direction}.W": (D, 4 * D), f"{direction}.U": (D, 4 * D), f"{direction}.b": (4 * D,)}
    return shapes


def bilstm_forward(params, S, offsets):
    """Y [N,2D]: the states after each behaviour, of both directions side by side; and the cache."""
    found = []
    for direction, backwards in DIRECTIONS.items():
        own = [params[f"{direction}.{name}"] for name in LSTM]
        found.append(lstm_forward(S, *own, offsets, backwards))  # F1
    states, caches = zip(*found)
    return np.concatenate(states, axis=1), caches  # F2


def bilstm_backward(dY, caches, gradients):
    """dS [N,D]; the parameters' gradients into `gradients`."""
    dS = 0
    for direction, half, cache in zip(DIRECTIONS, np.split(dY, 2, axis=1), caches):  # B2
        dx, *own = lstm_backward(half, cache)  # B1
        gradients.add_all(f"{direction}.", LSTM, own)
        dS = dS + dx
    return dS


class Recurrent(Ranker):
    """What both have in common: how they start."""

    def init(self, seed, dense=0.088, table=0.1, gain=0.1, dtype=np.float32):
        """As any model, but the forget gates start at σ(1), open: else a state is halved at every step."""
        params, D = super().init(seed, dense, table, gain, dtype), self.space.width
        for direction in DIRECTIONS:
            params[f"{direction}.b"][D : 2 * D] = 1
        return params


class BiLSTM(Recurrent):
    """e = (last state forwards, last state backwards) W + b."""

    def user_shapes(self, D):
        return bilstm_shapes(D) | {"user.W": (2 * D, D), "user.b": (D,)}

    def user_forward(self, params, S, h, batch, dropout):
        Y, lstm = bilstm_forward(params, S, batch.offsets)  # F1
        ends, ends_cache = ends_forward(Y, batch.offsets)  # F2
        user, user_cache = linear_forward(ends, params["user.W"], params["user.b"])  # F3
        e, broadcast = broadcast_user_forward(user, batch.target_offsets)  # F4
        return e, (lstm, ends_cache, user_cache, broadcast)

    def user_backward(self, de, cache, gradients):  # -> [N,D], number
        lstm, ends_cache, user_cache, broadcast = cache
        dends, dW, db = linear_backward(broadcast_user_backward(de, broadcast), user_cache)  # B4, B3
        gradients.add_all("user.", ("W", "b"), (dW, db))
        dS = bilstm_backward(ends_backward(dends, ends_cache), lstm, gradients)  # B2, B1
        return dS, 0  # h is used in f only


class UserCache(NamedTuple):
    lstm: tuple
    vanilla: tuple

    def weights(self):
        """As ATRank's, of the vanilla attention alone."""
        return {"vanilla": attention_weights(self.vanilla[0])}


class BiLSTMAttention(Recurrent):
    """e_t as in (7), over the outputs of the LSTM in the place of C: keys and values come from rows of width 2D."""

    def __init__(self, space, spaces, ranking="dot"):
        super().__init__(space, ranking)
        self.K = spaces

    def user_shapes(self, D):
        return bilstm_shapes(D) | self.attention_shapes("vanilla", 2 * D)

    def user_forward(self, params, S, h, batch, dropout):
        Y, lstm = bilstm_forward(params, S, batch.offsets)  # F1
        mask = dropout and partial(dropout.mask, 1)
        e, vanilla = self.attend("vanilla", params, h, Y, batch.target_offsets, batch.offsets, mask)  # F2 (7)
        return e, UserCache(lstm, vanilla)

    def user_backward(self, de, cache, gradients):  # -> [N,D], [T,D]
        dh, dY = self.attend_backward("vanilla", de, cache.vanilla, gradients)  # B2
        return bilstm_backward(dY, cache.lstm, gradients), dh  # B1
