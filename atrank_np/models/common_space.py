"""From behaviours to the common space: their embeddings and (1), shared by all models that read histories.

S = F_M(u) for the behaviours of a history, h_t = F_M(q_t) for the targets. Both use the tables and the F_M of their group,
so their gradients add up. Every group has its own width, time table and projection. Features that name the same table share
it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from ..datasets.catalogue import Bag
from ..datasets.packing import Batch, bucketize
from ..layers.embedding import bag_backward, bag_forward, lookup_backward, lookup_forward, number_backward, number_forward
from ..layers.perceptron import perceptron_backward, perceptron_forward
from ..parameters import Params, Shapes
from .gradients import Gradients

# To add a kind: read it in datasets/numbering.py, and embed it in `_feature_forward` and `_feature_backward` below. Then give it
# a part in `object_shapes`, in `kernels.embedding`, and in `groups` and `Named.group` of `kernels.parameters`.
KINDS = ("id", "categorical", "tokens", "number")


class FeatureColumn(NamedTuple):
    """One feature of a group's M objects."""

    name: str
    kind: str  # one of KINDS
    table: str  # the name of its embedding table; a number has none
    size: int  # E
    values: Any  # rows of the table, Ints [M]; a Bag of them (tokens); or standardised numbers, Floats [M]


class GroupSpace(NamedTuple):
    """What the model must know of a group of objects."""

    name: str
    columns: tuple[FeatureColumn, ...]
    width: int  # b, the sum of its features' sizes
    buckets: int  # of elapsed time
    target_action: int  # the row of the action table that its targets get
    objects: int  # M


class SpaceCache(NamedTuple):
    """The cache of one group: where its rows are, and the caches of its layers."""

    rows: Ints  # the places of its behaviours among the N of the batch
    places: Ints  # the places of its targets among the T of the batch
    u: Any  # of `behaviour_forward`
    F_M: Any  # of `F_M_forward`
    bias: Ints | None


class CommonSpace:
    """The embeddings, (1), and the item bias.

    width: D; actions: number of action names; tables: table name -> number of rows V. ValueError for a feature whose
    kind is not in KINDS, and for more rows of an action table than int16 can number.

    places: the number of embeddings of an action a, by its place from the end of the history. Row a · places + p of the action
    table has p = 0 for a target, 1 for the last behaviour, 2 for the 2 before it, 3 for the 4 before them, … So the order
    matters, also among behaviours of the same time. With 1, as in the paper, an action has one row.
    """

    def __init__(
        self, groups: Sequence[GroupSpace], width: int, actions: int, tables: dict[str, int], item_bias: bool, places: int = 1
    ) -> None:
        self.groups, self.width, self.actions, self.tables, self.item_bias = groups, width, actions, tables, item_bias
        self.places = places
        if actions * places > np.iinfo(np.int16).max:
            raise ValueError(f"places: {actions} actions x {places} places are too many rows; try --places 8")
        for column in (column for g in groups for column in g.columns):
            if column.kind not in KINDS:
                raise ValueError(f"feature {column.name!r}: a kind {column.kind!r} has no embedding")

    def shapes(self) -> Shapes:
        """Parameter name -> shape."""
        shapes = Shapes()
        for g in self.groups:
            shapes |= self.object_shapes(g)
            shapes[f"time.{g.name}"] = (g.buckets, g.width)
            shapes[f"action.{g.name}"] = (self.actions * self.places, g.width)
            shapes[f"F_M.{g.name}.W"] = (g.width, self.width)
            shapes[f"F_M.{g.name}.b"] = (self.width,)
            if self.item_bias:
                shapes[f"bias.{g.name}"] = (g.objects,)
        return shapes

    def object_shapes(self, g: GroupSpace) -> Shapes:
        """The shapes of the parameters of emb(o)."""
        shapes = Shapes()
        for column in g.columns:
            if column.kind == "number":
                shapes[f"number.{g.name}.{column.name}.w"] = (column.size,)
                shapes[f"number.{g.name}.{column.name}.b"] = (column.size,)
            else:
                shapes[f"table.{column.table}"] = (self.tables[column.table], column.size)
        return shapes

    def F_M_forward(self, u: Floats, W: Floats, b: Floats) -> tuple[Floats, Any]:  # [N,b], [b,D], [D] -> [N,D]
        return perceptron_forward(u, W, b)

    def F_M_backward(self, dy: Floats, cache: Any) -> tuple[Floats, Floats, Floats]:  # [N,D] -> [N,b], [b,D], [D]
        return perceptron_backward(dy, cache)

    def seen(self, batch: Batch) -> Batch:
        """The batch as the model reads it: its actions are rows of the action table."""
        if self.places == 1:
            return batch
        length = np.diff(batch.offsets)
        place = np.repeat(batch.offsets[1:], length) - np.arange(len(batch.action))
        row = batch.action.astype(np.int32) * self.places + bucketize(place, 1, self.places)
        return batch._replace(action=row.astype(batch.action.dtype))

    def forward(
        self, params: Params, batch: Batch, table_scale: float = 1.0
    ) -> tuple[Floats, Floats, Floats, Any]:  # -> [N,D], [T,D], [T]
        """S of (1), h of the targets, and their item bias. Tables are stored divided by table_scale (see optimizer).

        Cache: for each group its rows and targets, and the caches of its layers.
        """
        batch = self.seen(batch)
        dtype = params[f"F_M.{self.groups[0].name}.W"].dtype
        scale = dtype.type(table_scale)
        S = np.zeros((len(batch.object), self.width), dtype)
        h = np.zeros((len(batch.target_object), self.width), dtype)
        bias = np.zeros(len(h), dtype)
        caches = []
        for index, g in enumerate(self.groups):
            rows = np.flatnonzero(batch.group == index)
            places = np.flatnonzero(batch.target_group == index)
            # Behaviours and targets of the group in one block: a target has elapsed time 0 and the target action.
            objects = np.concatenate([batch.object[rows], batch.target_object[places]])
            bucket = np.concatenate([batch.bucket[rows], np.zeros(len(places), batch.bucket.dtype)])
            action = np.concatenate([batch.action[rows], np.full(len(places), g.target_action, batch.action.dtype)])
            u, u_caches = self.behaviour_forward(params, g, objects, bucket, action, scale)
            s, F_M_cache = self.F_M_forward(u, params[f"F_M.{g.name}.W"], params[f"F_M.{g.name}.b"])  # (1)
            S[rows], h[places] = s[: len(rows)], s[len(rows) :]
            bias_cache: Ints | None = None
            if self.item_bias:
                bias[places], bias_cache = lookup_forward(params[f"bias.{g.name}"], batch.target_object[places])
            caches.append(SpaceCache(rows, places, u_caches, F_M_cache, bias_cache))
        return S, h, bias, caches

    def backward(self, dS: Floats, dh: Floats, dbias: Floats, cache: Any, gradients: Gradients) -> None:  # [N,D], [T,D], [T]
        """Adds the gradients of its parameters to `gradients`. A table's gradient is the derivative by the table in the
        formula, which is the stored one times table_scale."""
        for g, (rows, places, u_caches, F_M_cache, bias_cache) in zip(self.groups, cache):
            du, dW, db = self.F_M_backward(np.concatenate([dS[rows], dh[places]]), F_M_cache)
            gradients.add(f"F_M.{g.name}.W", dW)
            gradients.add(f"F_M.{g.name}.b", db)
            self.behaviour_backward(g, du, u_caches, gradients)
            if bias_cache is not None:
                gradients.add(f"bias.{g.name}", lookup_backward(dbias[places], bias_cache))

    def behaviour_forward(
        self, params: Params, g: GroupSpace, objects: Ints, bucket: Ints, action: Ints, scale: np.floating
    ) -> tuple[Floats, Any]:  # [N], [N], [N] -> [N,b]
        """u = emb(o) + lookup_time(bucket) + lookup_action(a). Cache: those of its three parts."""
        emb, feature_caches = self.object_forward(params, g, objects, scale)
        time, time_cache = lookup_forward(params[f"time.{g.name}"], bucket)
        act, act_cache = lookup_forward(params[f"action.{g.name}"], action)
        return emb + scale * time + scale * act, (feature_caches, time_cache, act_cache)

    def behaviour_backward(self, g: GroupSpace, du: Floats, cache: Any, gradients: Gradients) -> None:  # [N,b]
        feature_caches, time_cache, act_cache = cache
        gradients.add(f"time.{g.name}", lookup_backward(du, time_cache))
        gradients.add(f"action.{g.name}", lookup_backward(du, act_cache))
        self.object_backward(g, du, feature_caches, gradients)

    def object_forward(
        self, params: Params, g: GroupSpace, objects: Ints, scale: np.floating
    ) -> tuple[Floats, tuple[Any, ...]]:  # [N] -> [N,b]
        """emb(o): the embeddings of an object's features side by side. Cache: one for each feature."""
        parts, caches = zip(*(self._feature_forward(params, g, column, objects, scale) for column in g.columns))
        return np.concatenate(parts, axis=1), caches

    def object_backward(self, g: GroupSpace, demb: Floats, caches: tuple[Any, ...], gradients: Gradients) -> None:  # [N,b]
        column_ends = np.cumsum([column.size for column in g.columns])[:-1]
        for column, dpart, cache in zip(g.columns, np.split(demb, column_ends, axis=1), caches):
            self._feature_backward(g, column, dpart, cache, gradients)

    def _feature_forward(
        self, params: Params, g: GroupSpace, column: FeatureColumn, objects: Ints, scale: np.floating
    ) -> tuple[Floats, Any]:  # [N] -> [N,E]
        """Row 0 of a table is all zeros, so an unknown id adds nothing."""
        if column.kind == "number":
            name = f"number.{g.name}.{column.name}"
            return number_forward(column.values[objects].astype(scale.dtype), params[f"{name}.w"], params[f"{name}.b"])
        table = params[f"table.{column.table}"]
        cache: Any
        if column.kind == "tokens":
            ids, offsets = bags_of(column.values, objects)
            value, cache = bag_forward(table, ids, offsets)
        else:
            value, cache = lookup_forward(table, column.values[objects])
        return scale * value, cache

    def _feature_backward(
        self, g: GroupSpace, column: FeatureColumn, dpart: Floats, cache: Any, gradients: Gradients
    ) -> None:  # [N,E]
        if column.kind == "number":
            dw, db = number_backward(dpart, cache)
            gradients.add(f"number.{g.name}.{column.name}.w", dw)
            gradients.add(f"number.{g.name}.{column.name}.b", db)
        elif column.kind == "tokens":
            gradients.add(f"table.{column.table}", bag_backward(dpart, cache))
        else:
            gradients.add(f"table.{column.table}", lookup_backward(dpart, cache))


def bags_of(bag: Bag, objects: Ints) -> tuple[Ints, Ints]:  # [N] -> [P], [N+1]
    """The bags of some objects, packed again: their ids and offsets."""
    size = np.diff(bag.offsets)[objects]
    offsets = np.concatenate([[0], np.cumsum(size)])
    rows = np.arange(offsets[-1]) + np.repeat(bag.offsets[objects] - offsets[:-1], size)
    return bag.ids[rows], offsets
