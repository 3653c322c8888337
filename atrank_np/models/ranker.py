"""What all models that read histories have in common: (1) before the user vector e_t, and f of (8) after it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import Floats, Ints
from ..datasets.packing import Batch
from ..layers.attention import HoldsAttention, attention_backward, attention_forward
from ..layers.embedding import Gradient
from ..layers.feedforward import FeedForwardCache, feed_forward_backward, feed_forward_forward
from ..layers.ranking import deep_backward, deep_forward, dot_backward, dot_forward
from ..parameters import Params, Shapes, initialise
from ..randomness import Dropout
from .common_space import CommonSpace
from .gradients import Gradients

ATTENTION = ("P.W", "P.b", "W", "Q.W", "Q.b")
FEED_FORWARD = ("F.W1", "F.b1", "F.W2", "F.b2", "F.gain", "F.bias")
DEEP = ("f.W1", "f.b1", "f.w2", "f.b2")

MaskOf = Callable[[tuple[int, ...], DTypeLike], Floats]  # shape, dtype -> the dropout mask of a layer


class Cache(NamedTuple):
    """What the backward pass needs. `explain` reads it too."""

    space: Any  # of `CommonSpace.forward`
    user: Any  # of the model's `user_forward`
    ranking: Any  # of dot_forward or deep_forward; its first two arrays are h and e
    e: Floats  # [T,D], the user vector that each target is compared with


class AttendedCache(NamedTuple):
    """The caches of an attention and of the feed-forward net behind it."""

    attention: HoldsAttention
    feed_forward: FeedForwardCache


class Ranker:
    """The base of these models. Each adds its user vector: `user_shapes`, `user_forward` and `user_backward`.

    ranking: "dot" or "deep". A cache is passed to the same model's backward pass, and may have any type.
    """

    K: int  # latent spaces, in models with attention
    residuals: tuple[str, ...] = ()  # attention layers with a residual connection around the attention

    def __init__(self, space: CommonSpace, ranking: str = "dot") -> None:
        self.space, self.ranking = space, ranking

    def user_shapes(self, D: int) -> Shapes:
        """The shapes of the parameters between S and the user vector."""
        raise NotImplementedError

    def user_forward(
        self, params: Params, S: Floats, h: Floats, batch: Batch, dropout: Dropout | None
    ) -> tuple[Floats, Any]:  # [N,D], [T,D] -> [T,D]
        """The user vector e_t of each target."""
        raise NotImplementedError

    def user_backward(
        self, de: Floats, cache: Any, gradients: Gradients
    ) -> tuple[Floats, Floats | float]:  # [T,D] -> [N,D], [T,D]
        """dS, dh (0 for a user vector that does not depend on h); the parameters' gradients are added to `gradients`."""
        raise NotImplementedError

    def shapes(self) -> Shapes:
        """Parameter name -> shape, in the order of the equations."""
        D = self.space.width
        shapes = self.space.shapes() | self.user_shapes(D)
        if self.ranking == "deep":
            shapes |= {"f.W1": (3 * D, D), "f.b1": (D,), "f.w2": (D, 1), "f.b2": (1,)}
        return shapes

    def init(
        self, seed: int, dense: float = 0.088, table: float = 0.1, gain: float = 0.1, dtype: DTypeLike = np.float32
    ) -> Params:
        """Initial parameters by name (see `parameters.initialise`)."""
        return initialise(self.shapes(), seed, dense, table, gain, dtype)

    def forward(
        self, params: Params, batch: Batch, table_scale: float = 1.0, dropout: Dropout | None = None
    ) -> tuple[Floats, Cache]:  # -> [T]
        """Scores of all targets, as logits. Tables are stored divided by table_scale. Cache: those of all layers."""
        S, h, bias, space = self.space.forward(params, batch, table_scale)  # F1 (1)
        e, user = self.user_forward(params, S, h, batch, dropout)  # F2 (2) to (7), or a competitor's own
        f, ranking = self.f_forward(params, h, e)  # F3 (8)
        return f + bias, Cache(space, user, ranking, e)  # F4

    def backward(self, df: Floats, cache: Cache) -> dict[str, Gradient]:  # [T]
        """Gradients of all parameters by name, arrays or Rows; df is the derivative of the loss by the scores."""
        gradients = Gradients()
        dh, de = self.f_backward(df, cache.ranking, gradients)  # B3
        dS, dh_user = self.user_backward(de, cache.user, gradients)  # B2
        self.space.backward(dS, dh + dh_user, df, cache.space, gradients)  # B1, B4: h has two uses, by F2 and F3
        return gradients.total()

    def f_forward(self, params: Params, h: Floats, e: Floats) -> tuple[Floats, Any]:  # [T,D], [T,D] -> [T]
        """f(h_t, e_t) of (8), without the item bias."""
        if self.ranking == "deep":
            return deep_forward(h, e, *(params[name] for name in DEEP))
        return dot_forward(h, e)

    def f_backward(self, df: Floats, cache: Any, gradients: Gradients) -> tuple[Floats, Floats]:  # [T] -> [T,D], [T,D]
        if self.ranking == "deep":
            dh, de, *own = deep_backward(df, cache)
            gradients.add_all("", DEEP, own)
            return dh, de
        return dot_backward(df, cache)

    # Attention and the feed-forward net behind it. A parameter's name begins with that of its layer, such as "vanilla".

    def attention_shapes(self, layer: str, memory: int) -> Shapes:
        """Attention of width D in K spaces over rows of width `memory`, and the feed-forward net behind it."""
        D, K = self.space.width, self.K
        shapes: Shapes = {"P.W": (D, D), "P.b": (D,), "W": (K, D // K, memory), "Q.W": (memory, D), "Q.b": (D,)}
        shapes |= {"F.W1": (D, D), "F.b1": (D,), "F.W2": (D, D), "F.b2": (D,), "F.gain": (D,), "F.bias": (D,)}
        return {f"{layer}.{name}": shape for name, shape in shapes.items()}

    def attend(
        self, layer: str, params: Params, x: Floats, m: Floats, x_offsets: Ints, m_offsets: Ints, mask: MaskOf | None
    ) -> tuple[Floats, AttendedCache]:  # [Q,D], [N,Dm], [B+1], [B+1] -> [Q,D]
        """(2) to (6) with x = m = S, or (7) with x = h_t and m = C: F(concat_k softmax(F_Pk(x) W_k mᵀ) F_Qk(m)).

        In a layer of `residuals` it is F(x + concat_k …). mask(shape, dtype) gives the dropout mask; None: no dropout.
        Cache: those of the two layers.
        """
        c, attention = self.attention_forward(layer, params, x, m, x_offsets, m_offsets)  # F1
        X = x + c if layer in self.residuals else c  # F2
        drawn = mask and mask(X.shape, X.dtype)
        W1, b1, W2, b2, gain, bias = (params[f"{layer}.{name}"] for name in FEED_FORWARD)
        y, feed_forward = feed_forward_forward(X, W1, b1, W2, b2, gain, bias, drawn)  # F3
        return y, AttendedCache(attention, feed_forward)

    def attend_backward(
        self, layer: str, dy: Floats, cache: AttendedCache, gradients: Gradients
    ) -> tuple[Floats, Floats]:  # [Q,D] -> [Q,D], [N,Dm]
        """dx, dm; the parameters' gradients are added to `gradients`."""
        attention, feed_forward = cache
        dX, *own = feed_forward_backward(dy, feed_forward)  # B3
        gradients.add_all(f"{layer}.", FEED_FORWARD, own)
        dx, dm = self.attention_backward(layer, dX, attention, gradients)  # B1
        return (dx + dX if layer in self.residuals else dx), dm  # B2

    def attention_forward(
        self, layer: str, params: Params, x: Floats, m: Floats, x_offsets: Ints, m_offsets: Ints
    ) -> tuple[Floats, HoldsAttention]:  # [Q,D], [N,Dm], [B+1], [B+1] -> [Q,D]
        P_W, P_b, W, Q_W, Q_b = (params[f"{layer}.{name}"] for name in ATTENTION)
        return attention_forward(x, m, P_W, P_b, W, Q_W, Q_b, x_offsets, m_offsets)

    def attention_backward(
        self, layer: str, dc: Floats, cache: Any, gradients: Gradients
    ) -> tuple[Floats, Floats]:  # [Q,D] -> [Q,D], [N,Dm]
        dx, dm, *own = attention_backward(dc, cache)
        gradients.add_all(f"{layer}.", ATTENTION, own)
        return dx, dm
