"""ATRank: the equations of the paper from (1) to (8), composed of `layers`."""

from functools import partial
from typing import NamedTuple

import numpy as np

from ..layers.attention import attention_weights
from .ranker import Ranker


class UserCache(NamedTuple):
    """self_layer, vanilla: caches of an attention and the feed-forward net behind it."""

    self_layer: tuple
    vanilla: tuple
    C: np.ndarray  # [N,D], (6)

    def weights(self):
        """Attention weights by name: lists of [K, q, n] arrays, one per history (None for an empty one)."""
        return {"self": attention_weights(self.self_layer[0]), "vanilla": attention_weights(self.vanilla[0])}


class ATRank(Ranker):
    """spaces: K of (2)."""

    def __init__(self, space, spaces, ranking="dot"):
        super().__init__(space, ranking)
        self.K = spaces

    def user_shapes(self, D):
        return self.attention_shapes("self", D) | self.attention_shapes("vanilla", D)

    def user_forward(self, params, S, h, batch, dropout):
        """e_t of (7), [T,D], from S [N,D] and h [T,D]."""
        masks = [dropout and partial(dropout.mask, layer) for layer in (0, 1)]
        C, self_layer = self.attend("self", params, S, S, batch.offsets, batch.offsets, masks[0])  # F1 (2) to (6)
        e, vanilla = self.attend("vanilla", params, h, C, batch.target_offsets, batch.offsets, masks[1])  # F2 (7)
        return e, UserCache(self_layer, vanilla, C)

    def user_backward(self, de, cache, gradients):  # -> [N,D], [T,D]
        dh, dC = self.attend_backward("vanilla", de, cache.vanilla, gradients)  # B2
        dS_query, dS_memory = self.attend_backward("self", dC, cache.self_layer, gradients)  # B1
        return dS_query + dS_memory, dh  # S has two uses
