"""From behaviours to the common space: their embeddings and (1), shared by all models that read histories.

S = F_M(u) for the behaviours of a history, h_t = F_M(q_t) for the targets; both go through the same tables and the same
F_M of their group, so their gradients add up. All groups have their own width, time table and projection; a feature
table is shared by all features that name it.
"""

from typing import NamedTuple

import numpy as np

from ..layers.embedding import (
    Rows,
    bag_backward,
    bag_forward,
    lookup_backward,
    lookup_forward,
    number_backward,
    number_forward,
    sum_rows,
)
from ..layers.perceptron import perceptron_backward, perceptron_forward
from ..parameters import has_unknown

# A kind more is read by reading.CONVERT, embedded by `_feature_forward` and its backward below, and has its own part in
# object_shapes, kernels.embedding and NumbaBackend._features and ._collect.
KINDS = ("id", "categorical", "tokens", "number")


class FeatureColumn(NamedTuple):
    """One feature of a group's objects: values are codes [M], a Bag, or standardised numbers [M]. kind: one of KINDS."""

    name: str
    kind: str
    table: str
    size: int
    values: object


class GroupSpace(NamedTuple):
    """What the model must know of a group; target_action is a row of its action table."""

    name: str
    columns: tuple
    width: int
    buckets: int
    target_action: int
    objects: int


class Gradients:
    """The one place that accumulates: a parameter used twice gets the SUM of its gradients."""

    def __init__(self):
        self.dense, self.rows = {}, {}

    def add(self, name, gradient):
        if isinstance(gradient, Rows):
            self.rows.setdefault(name, []).append(gradient)
        elif name in self.dense:
            self.dense[name] = self.dense[name] + gradient
        else:
            self.dense[name] = gradient

    def add_all(self, prefix, names, gradients):
        for name, gradient in zip(names, gradients, strict=True):
            self.add(f"{prefix}{name}", gradient)

    def total(self):
        """name -> array or Rows, without the rows of `unknown`, which are never trained."""
        gradients = dict(self.dense)
        for name, parts in self.rows.items():
            ids = np.concatenate([part.ids for part in parts])
            values = np.concatenate([part.values for part in parts])
            if has_unknown(name):
                ids, values = ids[ids > 0], values[ids > 0]
            gradients[name] = sum_rows(ids, values)
        return gradients


class CommonSpace:
    """groups: [GroupSpace]; width: D; actions: number of action names; tables: table name -> number of rows V."""

    def __init__(self, groups, width, actions, tables, item_bias):
        self.groups, self.width, self.actions, self.tables, self.item_bias = groups, width, actions, tables, item_bias
        for column in (column for g in groups for column in g.columns):
            if column.kind not in KINDS:
                raise ValueError(f"feature {column.name!r}: a kind {column.kind!r} has no embedding")

    def shapes(self):
        """Parameter name -> shape."""
        shapes = {}
        for g in self.groups:
            shapes |= self.object_shapes(g)
            shapes[f"time.{g.name}"] = (g.buckets, g.width)
            shapes[f"action.{g.name}"] = (self.actions, g.width)
            shapes[f"F_M.{g.name}.W"] = (g.width, self.width)
            shapes[f"F_M.{g.name}.b"] = (self.width,)
            if self.item_bias:
                shapes[f"bias.{g.name}"] = (g.objects,)
        return shapes

    def object_shapes(self, g):
        """Of emb(o) alone."""
        shapes = {}
        for column in g.columns:
            if column.kind == "number":
                shapes[f"number.{g.name}.{column.name}.w"] = (column.size,)
                shapes[f"number.{g.name}.{column.name}.b"] = (column.size,)
            else:
                shapes[f"table.{column.table}"] = (self.tables[column.table], column.size)
        return shapes

    F_M_forward, F_M_backward = staticmethod(perceptron_forward), staticmethod(perceptron_backward)

    def seen(self, batch):
        """What the model sees of a batch; all of it, but for variants."""
        return batch

    def forward(self, params, batch, table_scale=1.0):
        """-> S [N,D], h [T,D], bias [T], cache. Tables are stored divided by table_scale (see optimizer)."""
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
            bias_cache = None
            if self.item_bias:
                bias[places], bias_cache = lookup_forward(params[f"bias.{g.name}"], batch.target_object[places])
            caches.append((rows, places, u_caches, F_M_cache, bias_cache))
        return S, h, bias, caches

    def backward(self, dS, dh, dbias, cache, gradients):
        """dS [N,D], dh [T,D], dbias [T] into `gradients`. A table's gradient is by the table as the formula means it,
        whatever table_scale it was stored with."""
        for g, (rows, places, u_caches, F_M_cache, bias_cache) in zip(self.groups, cache):
            du, dW, db = self.F_M_backward(np.concatenate([dS[rows], dh[places]]), F_M_cache)
            gradients.add(f"F_M.{g.name}.W", dW)
            gradients.add(f"F_M.{g.name}.b", db)
            self.behaviour_backward(g, du, u_caches, gradients)
            if bias_cache is not None:
                gradients.add(f"bias.{g.name}", lookup_backward(dbias[places], bias_cache))

    def behaviour_forward(self, params, g, objects, bucket, action, scale):  # [N], [N], [N] -> [N, width of g]
        """u = emb(o) + lookup_time(bucket) + lookup_action(a), and its caches."""
        emb, feature_caches = self.object_forward(params, g, objects, scale)
        time, time_cache = lookup_forward(params[f"time.{g.name}"], bucket)
        act, act_cache = lookup_forward(params[f"action.{g.name}"], action)
        return emb + scale * time + scale * act, (feature_caches, time_cache, act_cache)

    def behaviour_backward(self, g, du, caches, gradients):
        """du [N, width of g] into `gradients`."""
        feature_caches, time_cache, act_cache = caches
        gradients.add(f"time.{g.name}", lookup_backward(du, time_cache))
        gradients.add(f"action.{g.name}", lookup_backward(du, act_cache))
        self.object_backward(g, du, feature_caches, gradients)

    def object_forward(self, params, g, objects, scale):  # [N] -> [N, width of g]
        """emb(o): the embeddings of an object's features side by side; and their caches."""
        parts, caches = zip(*(self._feature_forward(params, g, column, objects, scale) for column in g.columns))
        return np.concatenate(parts, axis=1), caches

    def object_backward(self, g, demb, caches, gradients):
        """demb [N, width of g] into `gradients`."""
        column_ends = np.cumsum([column.size for column in g.columns])[:-1]
        for column, dpart, cache in zip(g.columns, np.split(demb, column_ends, axis=1), caches):
            self._feature_backward(g, column, dpart, cache, gradients)

    def _feature_forward(self, params, g, column, objects, scale):
        """-> [N, size], cache. Row 0 of a table is all zeros, so an unknown id adds nothing."""
        if column.kind == "number":
            name = f"number.{g.name}.{column.name}"
            return number_forward(column.values[objects].astype(scale.dtype), params[f"{name}.w"], params[f"{name}.b"])
        table = params[f"table.{column.table}"]
        if column.kind == "tokens":
            ids, offsets = bags_of(column.values, objects)
            value, cache = bag_forward(table, ids, offsets)
        else:
            value, cache = lookup_forward(table, column.values[objects])
        return scale * value, cache

    def _feature_backward(self, g, column, dpart, cache, gradients):
        if column.kind == "number":
            dw, db = number_backward(dpart, cache)
            gradients.add(f"number.{g.name}.{column.name}.w", dw)
            gradients.add(f"number.{g.name}.{column.name}.b", db)
        elif column.kind == "tokens":
            gradients.add(f"table.{column.table}", bag_backward(dpart, cache))
        else:
            gradients.add(f"table.{column.table}", lookup_backward(dpart, cache))


def bags_of(bag, objects):
    """The bags of some objects, packed again: ids [P], offsets [len(objects) + 1]."""
    size = np.diff(bag.offsets)[objects]
    offsets = np.concatenate([[0], np.cumsum(size)])
    rows = np.arange(offsets[-1]) + np.repeat(bag.offsets[objects] - offsets[:-1], size)
    return bag.ids[rows], offsets
