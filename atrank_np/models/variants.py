"""ATRank with one thing changed, to answer the paper's claims and the departures of the authors' code: `--variant NAME`.

Each is a class that overrides the fewest methods of ATRank, or of the common space below it; NumPy computes them all, the
compiled step `residual` and `no_time` too. What flags alone can change, such as the number of spaces or the loss, is no variant.
A parameter's name decides how it starts and whether it decays (`parameters`), and the last thing in the cache of an attention's
forward pass is that of `attend_forward`, whose last thing are the weights, for `explain`.
"""

import numpy as np

from ..layers.attention import attend_backward, attend_forward
from ..layers.embedding import lookup_backward, lookup_forward, number_backward, number_forward
from ..layers.feedforward import layer_norm_backward, layer_norm_forward
from ..layers.perceptron import linear_backward, linear_forward, perceptron_backward, perceptron_forward
from .atrank import ATRank
from .common_space import CommonSpace

# Of the paper's claims


class NoSelfAttention(ATRank):
    """C = F_self(S): what is left out is the attention, (2) to (5), and nothing else."""

    def attention_shapes(self, layer, memory):
        kept = f"{layer}.F." if layer == "self" else layer
        return {name: shape for name, shape in super().attention_shapes(layer, memory).items() if name.startswith(kept)}

    def attention_forward(self, layer, params, x, m, x_offsets, m_offsets):
        if layer == "self":
            return x, (([None] * (len(x_offsets) - 1),),)  # where `attention_weights` looks: no history has any
        return super().attention_forward(layer, params, x, m, x_offsets, m_offsets)

    def attention_backward(self, layer, dc, cache, gradients):
        return (dc, 0) if layer == "self" else super().attention_backward(layer, dc, cache, gradients)


class NoTime(CommonSpace):
    """All behaviours fall into bucket 0, as with buckets = 1 in the schema: one row for all, and for the target."""

    def seen(self, batch):
        return batch._replace(bucket=np.zeros_like(batch.bucket))


class ContinuousTime(CommonSpace):
    """u = emb(o) + x w + b + lookup_action(a), x = 2 log2(1 + elapsed) / buckets - 1: from -1 to 1 where buckets go from first to
    last. (Row 0 of the time table is left, a second b.)"""

    def shapes(self):
        own = {f"elapsed.{g.name}.{name}": (g.width,) for g in self.groups for name in "wb"}
        return super().shapes() | own

    def seen(self, batch):
        return batch._replace(bucket=batch.elapsed)  # what is looked up: a time

    def behaviour_forward(self, params, g, objects, elapsed, action, scale):
        u, caches = super().behaviour_forward(params, g, objects, np.zeros(len(objects), int), action, scale)
        x = (2 * np.log2(1 + elapsed) / g.buckets - 1).astype(u.dtype)
        time, time_cache = number_forward(x, *(params[f"elapsed.{g.name}.{name}"] for name in "wb"))
        return u + time, (caches, time_cache)

    def behaviour_backward(self, g, du, cache, gradients):
        caches, time_cache = cache
        gradients.add_all(f"elapsed.{g.name}.", "wb", number_backward(du, time_cache))
        super().behaviour_backward(g, du, caches, gradients)


# Of nobody, but it helps


class Residual(ATRank):
    """C = F_self(S + concat_k C_k) in (6): each behaviour starts as itself, and what it attends to is added."""

    def attention_forward(self, layer, params, x, m, x_offsets, m_offsets):
        c, cache = super().attention_forward(layer, params, x, m, x_offsets, m_offsets)  # F1
        return (x + c if layer == "self" else c), cache  # F2

    def attention_backward(self, layer, dy, cache, gradients):
        dx, dm = super().attention_backward(layer, dy, cache, gradients)  # B1
        return (dx + dy if layer == "self" else dx), dm  # B2


# Of the authors' code


class ScaledScores(ATRank):
    """Scores s · t / √d of two relus, s = F_P(x) and t = F_K(m), in the place of the bilinear (4)."""

    NAMES = ("P.W", "P.b", "K.W", "K.b", "Q.W", "Q.b")

    def attention_shapes(self, layer, memory):
        shapes = super().attention_shapes(layer, memory)
        del shapes[f"{layer}.W"]
        return shapes | {f"{layer}.K.W": (memory, self.space.width), f"{layer}.K.b": (self.space.width,)}

    def attention_forward(self, layer, params, x, m, x_offsets, m_offsets):
        P_W, P_b, K_W, K_b, Q_W, Q_b = (params[f"{layer}.{name}"] for name in self.NAMES)
        s, P_cache = perceptron_forward(x, P_W, P_b)  # F1
        key, K_cache = perceptron_forward(m, K_W, K_b)  # F2
        value, Q_cache = perceptron_forward(m, Q_W, Q_b)  # F3
        scale = s.dtype.type((self.K / self.space.width) ** 0.5)
        c, attend_cache = attend_forward(scale * s, key, value, x_offsets, m_offsets, self.K)  # F4
        return c, (scale, P_cache, K_cache, Q_cache, attend_cache)

    def attention_backward(self, layer, dc, cache, gradients):
        scale, P_cache, K_cache, Q_cache, attend_cache = cache
        ds, dkey, dvalue = attend_backward(dc, attend_cache)  # B4
        dm_value, *dQ = perceptron_backward(dvalue, Q_cache)  # B3
        dm_key, *dK = perceptron_backward(dkey, K_cache)  # B2
        dx, *dP = perceptron_backward(scale * ds, P_cache)  # B1
        gradients.add_all(f"{layer}.", self.NAMES, dP + dK + dQ)
        return dx, dm_key + dm_value  # m has two uses


class AttentionResidual(ATRank):
    """A residual and a layer norm around the attention too, x + attention; then F with a quarter of the hidden width."""

    def attention_shapes(self, layer, memory):
        D, H = self.space.width, max(1, self.space.width // 4)
        own = {"F.W1": (D, H), "F.b1": (H,), "F.W2": (H, D), "A.gain": (D,), "A.bias": (D,)}
        return super().attention_shapes(layer, memory) | {f"{layer}.{name}": shape for name, shape in own.items()}

    def attention_forward(self, layer, params, x, m, x_offsets, m_offsets):
        c, cache = super().attention_forward(layer, params, x, m, x_offsets, m_offsets)  # F1
        y, norm_cache = layer_norm_forward(x + c, params[f"{layer}.A.gain"], params[f"{layer}.A.bias"])  # F2
        return y, (norm_cache, *cache)

    def attention_backward(self, layer, dy, cache, gradients):
        norm_cache, *cache = cache
        dsum, *own = layer_norm_backward(dy, norm_cache)  # B2
        gradients.add_all(f"{layer}.A.", ("gain", "bias"), own)
        dx, dm = super().attention_backward(layer, dsum, cache, gradients)  # B1
        return dx + dsum, dm


class ActivationL2(ATRank):
    """λ/2 Σ_t (|h_t|² + |e_t|²), a sum over the batch, in the place of L2 on weights. As that one, it is in no printed loss."""

    L2 = 5e-5  # λ

    def f_backward(self, df, cache, gradients):
        dh, de = super().f_backward(df, cache, gradients)
        h, e = cache[:2]
        return dh + self.L2 * h, de + self.L2 * e

    def penalty(self, cache):
        """What the gradients hold beside the loss; for their proof."""
        return self.L2 / 2 * sum((x**2).sum() for x in cache.ranking[:2])


class TimeConcat(CommonSpace):
    """F_M reads [emb(o) + lookup_action(a), one-hot of the bucket]: the lower rows of its matrix are the time table."""

    def shapes(self):
        shapes = super().shapes()
        for g in self.groups:
            del shapes[f"time.{g.name}"]
            shapes[f"F_M.{g.name}.W"] = (g.width + g.buckets, self.width)
        return shapes

    def behaviour_forward(self, params, g, objects, bucket, action, scale):
        emb, feature_caches = self.object_forward(params, g, objects, scale)
        act, act_cache = lookup_forward(params[f"action.{g.name}"], action)
        one_hot = np.eye(g.buckets, dtype=emb.dtype)[bucket]
        return np.concatenate([emb + scale * act, one_hot], axis=1), (feature_caches, act_cache)

    def behaviour_backward(self, g, du, caches, gradients):
        feature_caches, act_cache = caches
        gradients.add(f"action.{g.name}", lookup_backward(du[:, : g.width], act_cache))
        self.object_backward(g, du[:, : g.width], feature_caches, gradients)


class LinearProjection(CommonSpace):
    """F_M without its relu."""

    F_M_forward, F_M_backward = staticmethod(linear_forward), staticmethod(linear_backward)


class RawQuery(CommonSpace):
    """h_t = emb(o_t): without F_M, and without its constants, time 0 and the target action, it enters attention and product."""

    def __init__(self, groups, width, *others):
        super().__init__(groups, width, *others)
        for g in groups:
            if g.width != width:
                raise ValueError(f"{g.name}: embeddings are {g.width} wide; raw queries must be as wide as the model, {width}")

    def forward(self, params, batch, table_scale=1.0):
        S, h, bias, caches = super().forward(params, batch, table_scale)  # F1
        own = []
        for index, g in enumerate(self.groups):
            places = np.flatnonzero(batch.target_group == index)
            h[places], cache = self.object_forward(params, g, batch.target_object[places], h.dtype.type(table_scale))  # F2
            own.append((places, cache))
        return S, h, bias, (caches, own)

    def backward(self, dS, dh, dbias, cache, gradients):
        caches, own = cache
        for g, (places, cache) in zip(self.groups, own):
            self.object_backward(g, dh[places], cache, gradients)  # B2
        super().backward(dS, np.zeros_like(dh), dbias, caches, gradients)  # B1: what F1 has for h is not used


class Authors(ActivationL2, AttentionResidual, ScaledScores):
    """Together, above the common space."""


class AuthorsSpace(RawQuery, LinearProjection, TimeConcat):
    """Together, in it."""


# config.VARIANTS says what each is.
CLASSES = {
    "": (ATRank, CommonSpace),
    "residual": (Residual, CommonSpace),
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
