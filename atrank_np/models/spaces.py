"""The common space with one thing changed, for `variants`."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..arrays import Floats, Ints
from ..datasets.packing import Batch
from ..layers.embedding import lookup_backward, lookup_forward, number_backward, number_forward
from ..layers.perceptron import linear_backward, linear_forward
from ..parameters import Params, Shapes
from .common_space import CommonSpace, GroupSpace
from .gradients import Gradients


class NoTime(CommonSpace):
    """All behaviours fall into bucket 0, that of the target, as with buckets = 1 in the schema."""

    def seen(self, batch: Batch) -> Batch:
        return super().seen(batch)._replace(bucket=np.zeros_like(batch.bucket))


class ContinuousTime(CommonSpace):
    """u = emb(o) + x w + b + lookup_action(a), x = 2 log2(1 + elapsed) / buckets - 1.

    x goes from -1 to 1 while the bucket goes from the first to the last. Row 0 of the time table stays, as a second b.
    """

    def shapes(self) -> Shapes:
        own = {f"elapsed.{g.name}.{name}": (g.width,) for g in self.groups for name in "wb"}
        return super().shapes() | own

    def seen(self, batch: Batch) -> Batch:
        return super().seen(batch)._replace(bucket=cast(Ints, batch.elapsed))  # a time instead of a bucket

    def behaviour_forward(
        self, params: Params, g: GroupSpace, objects: Ints, bucket: Ints, action: Ints, scale: np.floating
    ) -> tuple[Floats, Any]:
        elapsed, bucket = bucket, np.zeros(len(objects), int)  # see `seen`
        u, caches = super().behaviour_forward(params, g, objects, bucket, action, scale)
        x = (2 * np.log2(1 + elapsed) / g.buckets - 1).astype(u.dtype)
        time, time_cache = number_forward(x, *(params[f"elapsed.{g.name}.{name}"] for name in "wb"))
        return u + time, (caches, time_cache)

    def behaviour_backward(self, g: GroupSpace, du: Floats, cache: Any, gradients: Gradients) -> None:
        caches, time_cache = cache
        gradients.add_all(f"elapsed.{g.name}.", "wb", number_backward(du, time_cache))
        super().behaviour_backward(g, du, caches, gradients)


class TimeConcat(CommonSpace):
    """F_M reads [emb(o) + lookup_action(a), one-hot of the bucket]: the last rows of its matrix act as the time table."""

    def shapes(self) -> Shapes:
        shapes = super().shapes()
        for g in self.groups:
            del shapes[f"time.{g.name}"]
            shapes[f"F_M.{g.name}.W"] = (g.width + g.buckets, self.width)
        return shapes

    def behaviour_forward(
        self, params: Params, g: GroupSpace, objects: Ints, bucket: Ints, action: Ints, scale: np.floating
    ) -> tuple[Floats, Any]:
        emb, feature_caches = self.object_forward(params, g, objects, scale)
        act, act_cache = lookup_forward(params[f"action.{g.name}"], action)
        one_hot = np.eye(g.buckets, dtype=emb.dtype)[bucket]
        return np.concatenate([emb + scale * act, one_hot], axis=1), (feature_caches, act_cache)

    def behaviour_backward(self, g: GroupSpace, du: Floats, cache: Any, gradients: Gradients) -> None:
        feature_caches, act_cache = cache
        gradients.add(f"action.{g.name}", lookup_backward(du[:, : g.width], act_cache))
        self.object_backward(g, du[:, : g.width], feature_caches, gradients)


class LinearProjection(CommonSpace):
    """F_M without its relu."""

    def F_M_forward(self, u: Floats, W: Floats, b: Floats) -> tuple[Floats, Any]:
        return linear_forward(u, W, b)

    def F_M_backward(self, dy: Floats, cache: Any) -> tuple[Floats, Floats, Floats]:
        return linear_backward(dy, cache)


class RawQuery(CommonSpace):
    """h_t = emb(o_t): the attention and f get the target without F_M, without time 0 and without the target action.

    ValueError for a group whose embeddings are not as wide as the model.
    """

    def __init__(self, groups: Sequence[GroupSpace], width: int, *rest: Any) -> None:
        super().__init__(groups, width, *rest)
        for g in groups:
            if g.width != width:
                raise ValueError(f"{g.name}: embeddings are {g.width} wide; raw queries must be as wide as the model, {width}")

    def forward(self, params: Params, batch: Batch, table_scale: float = 1.0) -> tuple[Floats, Floats, Floats, Any]:
        S, h, bias, caches = super().forward(params, batch, table_scale)  # F1
        own = []
        for index, g in enumerate(self.groups):
            places = np.flatnonzero(batch.target_group == index)
            h[places], cache = self.object_forward(params, g, batch.target_object[places], h.dtype.type(table_scale))  # F2
            own.append((places, cache))
        return S, h, bias, (caches, own)

    def backward(self, dS: Floats, dh: Floats, dbias: Floats, cache: Any, gradients: Gradients) -> None:
        caches, own = cache
        for g, (places, object_caches) in zip(self.groups, own):
            self.object_backward(g, dh[places], object_caches, gradients)  # B2
        super().backward(dS, np.zeros_like(dh), dbias, caches, gradients)  # B1: the h of F1 is not used


class AuthorsSpace(RawQuery, LinearProjection, TimeConcat):
    """All changes of the authors' code in the common space."""
