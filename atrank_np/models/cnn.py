"""The convolutional competitor of the paper: windows of 1 to 10 behaviours, 32 feature maps each, max over time."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats
from ..datasets.packing import Batch
from ..layers.convolution import ConvolutionCache, convolution_backward, convolution_forward
from ..layers.perceptron import LinearCache, linear_backward, linear_forward
from ..layers.ranking import BroadcastCache, broadcast_user_backward, broadcast_user_forward
from ..parameters import Params, Shapes
from ..randomness import Dropout
from .common_space import CommonSpace
from .gradients import Gradients
from .ranker import Ranker

WINDOWS, MAPS = 10, 32


class UserCache(NamedTuple):
    convolutions: tuple[ConvolutionCache, ...]  # one for each window size
    user: LinearCache
    broadcast: BroadcastCache


class CNN(Ranker):
    """e = (all pooled features, side by side) W + b. windows: the largest window; maps: feature maps of each."""

    def __init__(self, space: CommonSpace, ranking: str = "dot", windows: int = WINDOWS, maps: int = MAPS) -> None:
        super().__init__(space, ranking)
        self.windows, self.maps = range(1, windows + 1), maps

    def user_shapes(self, D: int) -> Shapes:
        shapes = Shapes()
        for w in self.windows:
            shapes |= {f"window{w}.W": (w, D, self.maps), f"window{w}.b": (self.maps,)}
        return shapes | {"user.W": (len(self.windows) * self.maps, D), "user.b": (D,)}

    def user_forward(
        self, params: Params, S: Floats, h: Floats, batch: Batch, dropout: Dropout | None
    ) -> tuple[Floats, UserCache]:  # [N,D], [T,D] -> [T,D]
        own = [(params[f"window{w}.W"], params[f"window{w}.b"]) for w in self.windows]
        found = [convolution_forward(S, W, b, batch.offsets) for W, b in own]  # F1
        pooled, caches = zip(*found)
        features = np.concatenate(pooled, axis=1)  # F2
        user, user_cache = linear_forward(features, params["user.W"], params["user.b"])  # F3
        e, broadcast = broadcast_user_forward(user, batch.target_offsets)  # F4
        return e, UserCache(caches, user_cache, broadcast)

    def user_backward(self, de: Floats, cache: UserCache, gradients: Gradients) -> tuple[Floats, float]:  # [T,D] -> [N,D], number
        caches, user_cache, broadcast = cache
        dfeatures, dW, db = linear_backward(broadcast_user_backward(de, broadcast), user_cache)  # B4, B3
        gradients.add_all("user.", ("W", "b"), (dW, db))
        dS = np.zeros(caches[0].x_shape, de.dtype)
        for w, dpooled, own in zip(self.windows, np.split(dfeatures, len(self.windows), axis=1), caches):  # B2
            dx, dW, db = convolution_backward(dpooled, own)  # B1
            gradients.add_all(f"window{w}.", ("W", "b"), (dW, db))
            dS = dS + dx
        return dS, 0
