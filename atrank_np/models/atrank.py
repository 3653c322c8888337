"""ATRank: the equations of the paper from (1) to (8), composed of `layers`."""

from typing import NamedTuple

import numpy as np

from ..layers.attention import attention_backward, attention_forward, attention_weights
from ..layers.feedforward import feed_forward_backward, feed_forward_forward
from ..layers.ranking import deep_backward, deep_forward, dot_backward, dot_forward
from ..parameters import has_unknown, kind
from ..randomness import stream
from .common_space import CommonSpace, Gradients

ATTENTION = ("P.W", "P.b", "W", "Q.W", "Q.b")
FEED_FORWARD = ("F.W1", "F.b1", "F.W2", "F.b2", "F.gain", "F.bias")
DEEP = ("f.W1", "f.b1", "f.w2", "f.b2")


class Cache(NamedTuple):
    """What the backward pass needs, and what a curious reader can look into."""

    space: list
    self_attention: tuple
    self_feed_forward: tuple
    vanilla_attention: tuple
    vanilla_feed_forward: tuple
    ranking: tuple
    C: np.ndarray  # [N,D], (6)
    e: np.ndarray  # [T,D], (7)

    def weights(self):
        """Attention weights by name: lists of [K, q, n] arrays, one per history (None for an empty one)."""
        return {
            "self": attention_weights(self.self_attention),
            "vanilla": attention_weights(self.vanilla_attention),
        }


class ATRank:
    """space: CommonSpace; spaces: K; ranking: "dot" or "deep"."""

    def __init__(self, space: CommonSpace, spaces, ranking="dot"):
        self.space, self.K, self.ranking = space, spaces, ranking

    def shapes(self):
        """Parameter name -> shape, in the order of the equations."""
        D, K = self.space.width, self.K
        shapes = self.space.shapes()
        for layer in ("self", "vanilla"):
            shapes |= {f"{layer}.P.W": (D, D), f"{layer}.P.b": (D,), f"{layer}.W": (K, D // K, D)}
            shapes |= {f"{layer}.Q.W": (D, D), f"{layer}.Q.b": (D,)}
            shapes |= {f"{layer}.F.W1": (D, D), f"{layer}.F.b1": (D,), f"{layer}.F.W2": (D, D), f"{layer}.F.b2": (D,)}
            shapes |= {f"{layer}.F.gain": (D,), f"{layer}.F.bias": (D,)}
        if self.ranking == "deep":
            shapes |= {"f.W1": (3 * D, D), "f.b1": (D,), "f.w2": (D, 1), "f.b2": (1,)}
        return shapes

    def init(self, seed, dense=0.088, table=0.1, gain=0.1, dtype=np.float32):
        """Normal numbers, by the kind of parameter; biases 0, the row `unknown` 0, gains 1 but in F_vanilla.

        There the gain is small: f = h · e, so the loss bends along a shift of all h by up to |e|²/4, and |e|² is D
        times the squared gain. Descent with rate lr is stable below a bend of 2/lr: at gain 1 and D = 128 that asks
        for lr < 1/16, at gain 0.1 even lr = 1 is safe.
        """
        rng, params = stream(seed, "initialisation"), {}
        for name, shape in self.shapes().items():
            deviation = {"weight": dense, "table": table}.get(kind(name))
            if deviation is None:
                value = {"gain": gain if name.startswith("vanilla.") else 1}.get(kind(name), 0)
                params[name] = np.full(shape, value, dtype)
            else:
                params[name] = (deviation * rng.standard_normal(shape)).astype(dtype)
            if has_unknown(name):
                params[name][0] = 0
        return params

    def forward(self, params, batch, table_scale=1.0, dropout=None):
        """Scores of all targets, [T], as logits; and the cache."""
        S, h, bias, space = self.space.forward(params, batch, table_scale)  # F1 (1)
        own = [params[f"self.{name}"] for name in ATTENTION]
        X, self_attention = attention_forward(S, S, *own, batch.offsets, batch.offsets)  # F2 (2)-(5)
        mask = dropout and dropout.mask(0, X.shape, X.dtype)
        C, self_ff = feed_forward_forward(X, *(params[f"self.{name}"] for name in FEED_FORWARD), mask)  # F3 (6)
        own = [params[f"vanilla.{name}"] for name in ATTENTION]
        x, vanilla = attention_forward(h, C, *own, batch.target_offsets, batch.offsets)  # F4 (7)
        mask = dropout and dropout.mask(1, x.shape, x.dtype)
        e, vanilla_ff = feed_forward_forward(x, *(params[f"vanilla.{name}"] for name in FEED_FORWARD), mask)  # F5 (7)
        if self.ranking == "deep":
            f, ranking = deep_forward(h, e, *(params[name] for name in DEEP))  # F6 (8)
        else:
            f, ranking = dot_forward(h, e)  # F6 (8)
        return f + bias, Cache(space, self_attention, self_ff, vanilla, vanilla_ff, ranking, C, e)  # F7

    def backward(self, df, cache):
        """Gradients of all parameters by name, arrays or Rows; df [T] is the derivative of the loss by the scores."""
        gradients = Gradients()

        def collect(layer, names, values):
            for name, value in zip(names, values):
                gradients.add(f"{layer}{name}", value)

        if self.ranking == "deep":
            dh, de, *own = deep_backward(df, cache.ranking)  # B6
            collect("", DEEP, own)
        else:
            dh, de = dot_backward(df, cache.ranking)  # B6
        dx, *own = feed_forward_backward(de, cache.vanilla_feed_forward)  # B5
        collect("vanilla.", FEED_FORWARD, own)
        dh_query, dC, *own = attention_backward(dx, cache.vanilla_attention)  # B4
        collect("vanilla.", ATTENTION, own)
        dX, *own = feed_forward_backward(dC, cache.self_feed_forward)  # B3
        collect("self.", FEED_FORWARD, own)
        dS_query, dS_memory, *own = attention_backward(dX, cache.self_attention)  # B2
        collect("self.", ATTENTION, own)
        self.space.backward(dS_query + dS_memory, dh + dh_query, df, cache.space, gradients)  # B1, B7
        return gradients.total()
