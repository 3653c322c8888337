"""What all models that read histories share: (1) below them, f of (8) above them. Between stands a user vector e_t."""

from typing import NamedTuple

import numpy as np

from ..layers.attention import attention_backward, attention_forward
from ..layers.feedforward import feed_forward_backward, feed_forward_forward
from ..layers.ranking import deep_backward, deep_forward, dot_backward, dot_forward
from ..parameters import initialise
from .common_space import CommonSpace, Gradients

ATTENTION = ("P.W", "P.b", "W", "Q.W", "Q.b")
FEED_FORWARD = ("F.W1", "F.b1", "F.W2", "F.b2", "F.gain", "F.bias")
DEEP = ("f.W1", "f.b1", "f.w2", "f.b2")


class Cache(NamedTuple):
    """What the backward pass needs, and what a curious reader can look into; `user` is the model's own."""

    space: list
    user: tuple
    ranking: tuple
    e: np.ndarray  # [T,D], the user vector that each target is compared with


class Ranker:
    """A model says what its user vector is: `user_shapes`, `user_forward` and `user_backward`.

    space: CommonSpace; ranking: "dot" or "deep".
    """

    def __init__(self, space: CommonSpace, ranking="dot"):
        self.space, self.ranking = space, ranking

    def shapes(self):
        """Parameter name -> shape, in the order of the equations."""
        D = self.space.width
        shapes = self.space.shapes() | self.user_shapes(D)
        if self.ranking == "deep":
            shapes |= {"f.W1": (3 * D, D), "f.b1": (D,), "f.w2": (D, 1), "f.b2": (1,)}
        return shapes

    def init(self, seed, dense=0.088, table=0.1, gain=0.1, dtype=np.float32):
        """Parameters to start from, by name (see `parameters.initialise`)."""
        return initialise(self.shapes(), seed, dense, table, gain, dtype)

    def forward(self, params, batch, table_scale=1.0, dropout=None):
        """Scores of all targets, [T], as logits; and the cache."""
        S, h, bias, space = self.space.forward(params, batch, table_scale)  # F1 (1)
        e, user = self.user_forward(params, S, h, batch, dropout)  # F2 (2) to (7), or what a competitor has there
        f, ranking = self.f_forward(params, h, e)  # F3 (8)
        return f + bias, Cache(space, user, ranking, e)  # F4

    def backward(self, df, cache):
        """Gradients of all parameters by name, arrays or Rows; df [T] is the derivative of the loss by the scores."""
        gradients = Gradients()
        dh, de = self.f_backward(df, cache.ranking, gradients)  # B3
        dS, dh_user = self.user_backward(de, cache.user, gradients)  # B2
        self.space.backward(dS, dh + dh_user, df, cache.space, gradients)  # B1, B4: h has two uses, by F2 and F3
        return gradients.total()

    def f_forward(self, params, h, e):  # [T,D], [T,D] -> [T]
        if self.ranking == "deep":
            return deep_forward(h, e, *(params[name] for name in DEEP))
        return dot_forward(h, e)

    def f_backward(self, df, cache, gradients):  # [T] -> [T,D], [T,D]
        if self.ranking == "deep":
            dh, de, *own = deep_backward(df, cache)
            gradients.add_all("", DEEP, own)
            return dh, de
        return dot_backward(df, cache)

    # Attention and the feed-forward net behind it; a layer's name, such as "vanilla", stands before its parameters' names.

    def attention_shapes(self, layer, memory):
        """Attention of width D in K spaces over rows of width `memory`, and the feed-forward net behind it."""
        D, K = self.space.width, self.K
        shapes = {"P.W": (D, D), "P.b": (D,), "W": (K, D // K, memory), "Q.W": (memory, D), "Q.b": (D,)}
        shapes |= {"F.W1": (D, D), "F.b1": (D,), "F.W2": (D, D), "F.b2": (D,), "F.gain": (D,), "F.bias": (D,)}
        return {f"{layer}.{name}": shape for name, shape in shapes.items()}

    def attend(self, layer, params, x, m, x_offsets, m_offsets, mask):
        """(2) to (6) with x = m = S, or (7) with x = h_t and m = C: F(concat_k softmax(F_Pk(x) W_k mᵀ) F_Qk(m)), and its cache.

        mask(shape, dtype) makes the dropout's mask; None: no dropout.
        """
        c, attention = self.attention_forward(layer, params, x, m, x_offsets, m_offsets)  # F1
        drawn = mask and mask(c.shape, c.dtype)
        y, feed_forward = feed_forward_forward(c, *(params[f"{layer}.{name}"] for name in FEED_FORWARD), drawn)  # F2
        return y, (attention, feed_forward)

    def attend_backward(self, layer, dy, cache, gradients):
        """-> dx, dm; the parameters' gradients into `gradients`."""
        attention, feed_forward = cache
        dc, *own = feed_forward_backward(dy, feed_forward)  # B2
        gradients.add_all(f"{layer}.", FEED_FORWARD, own)
        return self.attention_backward(layer, dc, attention, gradients)  # B1

    def attention_forward(self, layer, params, x, m, x_offsets, m_offsets):
        own = [params[f"{layer}.{name}"] for name in ATTENTION]
        return attention_forward(x, m, *own, x_offsets, m_offsets)

    def attention_backward(self, layer, dc, cache, gradients):
        dx, dm, *own = attention_backward(dc, cache)
        gradients.add_all(f"{layer}.", ATTENTION, own)
        return dx, dm
