"""ATRank with one thing changed, to test the paper's claims and to try what the authors' code does: `--variant NAME`.

Each is a class that overrides as few methods as possible of ATRank, or of the common space before it (`spaces`). NumPy
computes all of them, numba those that `config.VARIANTS` marks as compiled. A change that has a flag of its own, such as the
number of spaces or the loss, is no variant. A parameter's name decides its initial value and whether it decays (`parameters`).
The cache of an attention has a field `attend`, the cache of `attend_forward`: `explain` reads the attention weights there.
"""

from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from ..layers.attention import AttendCache, HoldsAttention, attend_backward, attend_forward
from ..layers.feedforward import NormCache, layer_norm_backward, layer_norm_forward
from ..layers.perceptron import PerceptronCache, perceptron_backward, perceptron_forward
from ..parameters import Params, Shapes
from .atrank import ATRank
from .common_space import CommonSpace
from .gradients import Gradients
from .ranker import Cache
from .spaces import AuthorsSpace, ContinuousTime, LinearProjection, NoTime, RawQuery, TimeConcat

# (6) as the paper prints it, and variants for its claims


class Printed(ATRank):
    """C = F_self(concat_k C_k): (6) as printed, without S."""

    residuals = ()


class NoAttentionCache(NamedTuple):
    attend: AttendCache


class NoSelfAttention(ATRank):
    """C = F_self(S): the attention, (2) to (5), adds nothing to S."""

    def attention_shapes(self, layer: str, memory: int) -> Shapes:
        kept = f"{layer}.F." if layer == "self" else layer
        return {name: shape for name, shape in super().attention_shapes(layer, memory).items() if name.startswith(kept)}

    def attention_forward(
        self, layer: str, params: Params, x: Floats, m: Floats, x_offsets: Ints, m_offsets: Ints
    ) -> tuple[Floats, HoldsAttention]:
        if layer == "self":
            no_weights: list[Floats | None] = [None] * (len(x_offsets) - 1)
            return np.zeros_like(x), NoAttentionCache(AttendCache(x, x, x, x_offsets, x_offsets, self.K, no_weights))
        return super().attention_forward(layer, params, x, m, x_offsets, m_offsets)

    def attention_backward(self, layer: str, dc: Floats, cache: Any, gradients: Gradients) -> tuple[Floats, Floats]:
        if layer == "self":
            return np.zeros_like(dc), np.zeros_like(dc)
        return super().attention_backward(layer, dc, cache, gradients)


# Variants of the authors' code


class ScaledScoresCache(NamedTuple):
    scale: np.floating
    P: PerceptronCache
    key: PerceptronCache
    Q: PerceptronCache
    attend: AttendCache


class ScaledScores(ATRank):
    """Scores s · t / √d of two relus, s = F_P(x) and t = F_K(m), instead of the bilinear ones of (4)."""

    NAMES = ("P.W", "P.b", "K.W", "K.b", "Q.W", "Q.b")

    def attention_shapes(self, layer: str, memory: int) -> Shapes:
        shapes = super().attention_shapes(layer, memory)
        del shapes[f"{layer}.W"]
        return shapes | {f"{layer}.K.W": (memory, self.space.width), f"{layer}.K.b": (self.space.width,)}

    def attention_forward(
        self, layer: str, params: Params, x: Floats, m: Floats, x_offsets: Ints, m_offsets: Ints
    ) -> tuple[Floats, HoldsAttention]:
        P_W, P_b, K_W, K_b, Q_W, Q_b = (params[f"{layer}.{name}"] for name in self.NAMES)
        s, P_cache = perceptron_forward(x, P_W, P_b)  # F1
        key, K_cache = perceptron_forward(m, K_W, K_b)  # F2
        value, Q_cache = perceptron_forward(m, Q_W, Q_b)  # F3
        scale = s.dtype.type((self.K / self.space.width) ** 0.5)
        c, attend_cache = attend_forward(scale * s, key, value, x_offsets, m_offsets, self.K)  # F4
        return c, ScaledScoresCache(scale, P_cache, K_cache, Q_cache, attend_cache)

    def attention_backward(self, layer: str, dc: Floats, cache: Any, gradients: Gradients) -> tuple[Floats, Floats]:
        scale, P_cache, K_cache, Q_cache, attend_cache = cache
        ds, dkey, dvalue = attend_backward(dc, attend_cache)  # B4
        dm_value, *dQ = perceptron_backward(dvalue, Q_cache)  # B3
        dm_key, *dK = perceptron_backward(dkey, K_cache)  # B2
        dx, *dP = perceptron_backward(scale * ds, P_cache)  # B1
        gradients.add_all(f"{layer}.", self.NAMES, dP + dK + dQ)
        return dx, dm_key + dm_value  # m has two uses


class NormedCache(NamedTuple):
    norm: NormCache
    attention: HoldsAttention

    @property
    def attend(self) -> AttendCache:
        return self.attention.attend


class AttentionResidual(Printed):
    """LN(x + attention) instead of the attention alone, in both layers; then F with a quarter of the hidden width."""

    def attention_shapes(self, layer: str, memory: int) -> Shapes:
        D, H = self.space.width, max(1, self.space.width // 4)
        own: Shapes = {"F.W1": (D, H), "F.b1": (H,), "F.W2": (H, D), "A.gain": (D,), "A.bias": (D,)}
        return super().attention_shapes(layer, memory) | {f"{layer}.{name}": shape for name, shape in own.items()}

    def attention_forward(
        self, layer: str, params: Params, x: Floats, m: Floats, x_offsets: Ints, m_offsets: Ints
    ) -> tuple[Floats, HoldsAttention]:
        c, cache = super().attention_forward(layer, params, x, m, x_offsets, m_offsets)  # F1
        y, norm_cache = layer_norm_forward(x + c, params[f"{layer}.A.gain"], params[f"{layer}.A.bias"])  # F2
        return y, NormedCache(norm_cache, cache)

    def attention_backward(self, layer: str, dy: Floats, cache: Any, gradients: Gradients) -> tuple[Floats, Floats]:
        norm_cache, attention_cache = cache
        dsum, *own = layer_norm_backward(dy, norm_cache)  # B2
        gradients.add_all(f"{layer}.A.", ("gain", "bias"), own)
        dx, dm = super().attention_backward(layer, dsum, attention_cache, gradients)  # B1
        return dx + dsum, dm


class ActivationL2(ATRank):
    """λ/2 Σ_t (|h_t|² + |e_t|²), a sum over the batch, instead of L2 on weights. The loss that is shown has neither."""

    L2 = 5e-5  # λ

    def f_backward(self, df: Floats, cache: Any, gradients: Gradients) -> tuple[Floats, Floats]:
        dh, de = super().f_backward(df, cache, gradients)
        h, e = cache[:2]
        return dh + self.L2 * h, de + self.L2 * e

    def penalty(self, cache: Cache) -> float:
        """The term that this adds to the loss. The gradient check needs it."""
        h, e = cache.ranking[:2]
        return float(self.L2 / 2 * ((h**2).sum() + (e**2).sum()))


class Authors(ActivationL2, AttentionResidual, ScaledScores):
    """All changes of the authors' code after the common space."""


# Variant -> classes of the model and of its common space. config.VARIANTS describes them.
CLASSES: dict[str, tuple[type[ATRank], type[CommonSpace]]] = {
    "": (ATRank, CommonSpace),
    "printed": (Printed, CommonSpace),
    "no_self_attention": (NoSelfAttention, CommonSpace),
    "no_time": (ATRank, NoTime),
    "continuous_time": (ATRank, ContinuousTime),
    "scaled_scores": (ScaledScores, CommonSpace),
    "time_concat": (ATRank, TimeConcat),
    "linear_projection": (ATRank, LinearProjection),
    "attention_residual": (AttentionResidual, CommonSpace),
    "raw_query": (ATRank, RawQuery),
    "activation_l2": (ActivationL2, CommonSpace),
    "authors": (Authors, AuthorsSpace),
}
