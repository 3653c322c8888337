"""The convolutional competitor of the paper: windows of 1 to 10 behaviours, 32 feature maps each, max over time."""

import numpy as np

from ..layers.convolution import convolution_backward, convolution_forward
from ..layers.perceptron import linear_backward, linear_forward
from ..layers.ranking import broadcast_user_backward, broadcast_user_forward
from .ranker import Ranker

WINDOWS, MAPS = 10, 32


class CNN(Ranker):
    """e = (all pooled features, side by side) W + b."""

    def __init__(self, space, ranking="dot", windows=WINDOWS, maps=MAPS):
        super().__init__(space, ranking)
        self.windows, self.maps = range(1, windows + 1), maps

    def user_shapes(self, D):
        shapes = {}
        for w in self.windows:
            shapes |= {f"window{w}.W": (w, D, self.maps), f"window{w}.b": (self.maps,)}
        return shapes | {"user.W": (len(self.windows) * self.maps, D), "user.b": (D,)}

    def user_forward(self, params, S, h, batch, dropout):
        found = [
            convolution_forward(S, params[f"window{w}.W"], params[f"window{w}.b"], batch.offsets) for w in self.windows
        ]  # F1
        pooled, caches = zip(*found)
        features = np.concatenate(pooled, axis=1)  # F2
        user, user_cache = linear_forward(features, params["user.W"], params["user.b"])  # F3
        e, broadcast = broadcast_user_forward(user, batch.target_offsets)  # F4
        return e, (caches, user_cache, broadcast)

    def user_backward(self, de, cache, gradients):  # -> [N,D], number
        caches, user_cache, broadcast = cache
        dfeatures, dW, db = linear_backward(broadcast_user_backward(de, broadcast), user_cache)  # B4, B3
        gradients.add_all("user.", ("W", "b"), (dW, db))
        dS = 0
        for w, dpooled, own in zip(self.windows, np.split(dfeatures, len(self.windows), axis=1), caches):  # B2
            dx, dW, db = convolution_backward(dpooled, own)  # B1
            gradients.add_all(f"window{w}.", ("W", "b"), (dW, db))
            dS = dS + dx
        return dS, 0
