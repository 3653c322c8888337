"""A model's parameters as the kernels take them: by name from the model, and back."""

import math

import numpy as np

from ..parameters import is_decayed, kind
from .context import Piece, Thread
from .embedding import Column, Group, Number
from .layout import Flat, SpaceOrder, aligned
from .packed import Items
from .products import from_strips, to_strips
from .spec import Named
from .step import DECAYED, REST, TABLE


class FlatParameters:
    """The tables, the item biases and the dense parameters, each in one flat array.

    Dense ones have a copy for each thread; their columns are in the kernels' order, and matrices lie in strips.
    """

    def __init__(self, model, spec, dtype, copies):
        self.model, self.spec, self.dtype, self.shapes = model, spec, dtype, model.shapes()
        self.D, self.order = model.space.width, SpaceOrder(model.space.width, getattr(model, "K", 1))
        self.tables, self.biases = (self.zeros(start) for start in ("table.", "bias."))
        rest = {n: self.order.shape(n, s) for n, s in self.shapes.items() if n not in self.tables and n not in self.biases}
        self.dense = Flat(rest, dtype, copies)
        self.transposed = aligned(self.dense.copies.shape, dtype)

    def zeros(self, start):
        """Flat zeros for the parameters whose names begin so."""
        return Flat({n: s for n, s in self.shapes.items() if n.startswith(start)}, self.dtype)

    # By name

    def take(self, params):
        """Takes over named parameters; big tables may be the views that `by_name` gave."""
        for name, w in params.items():
            home = next(flat for flat in (self.dense, self.tables, self.biases) if name in flat)
            home[name][...] = self._to_kernel(name, w) if home is self.dense else w
        self.dense.spread()

    def by_name(self):
        """name -> array in the shapes of the model; big tables are views of the live ones."""
        small = self.dense_by_name(self.dense.array)
        return {n: small[n] if n in small else (self.tables if n in self.tables else self.biases)[n] for n in self.shapes}

    def dense_by_name(self, array):
        """The same for an array like `dense.array`, dense parameters or their gradients."""
        return {name: self._from_kernel(name, self.dense.of(array, name)) for name in self.dense.shapes}

    def scale_tables(self, scale):
        """Multiplies all that decays through its scale, big tables and small ones."""
        self.tables.array *= self.dtype.type(scale)
        for name in filter(lambda n: kind(n) == "table", self.dense.shapes):
            self.dense[name][...] *= self.dtype.type(scale)
        self.dense.spread()

    def _to_kernel(self, name, w):
        w, rows = self.order.to_kernel(name, w), self._matrix(name)[0]
        blocks = w.reshape(-1, rows, w.shape[-1]) if rows else []
        return np.concatenate([to_strips(block) for block in blocks]).reshape(w.shape) if rows else w

    def _from_kernel(self, name, w):
        rows, columns = self._matrix(name)
        blocks = w.reshape(-1, rows * columns) if rows else []
        w = np.concatenate([from_strips(block, rows) for block in blocks]).reshape(w.shape) if rows else w
        return self.order.from_kernel(name, w, self.shapes[name])

    def _matrix(self, name):
        """Rows and columns of a matrix as products use it; 0, 0 for what is none."""
        shape = self.dense.shapes[name]
        if kind(name) != "weight" or len(shape) == 1:
            return 0, 0
        return (self.D if name in self.spec.blocks else math.prod(shape[:-1])), shape[-1]

    # For the kernels

    def named(self, array, transposes=None):
        return Named(self.dense, array, self._matrix, transposes)

    def tuple_of(self, array):
        """The model's NamedTuple of an array like `dense.array`."""
        return self.spec.parameters(self.named(array), self.model)

    def thread(self, t, mean=None, square=None):
        """The Thread with copy t. mean, square: FlatParameters of the moments."""
        P = self.dense.copies[t]
        own, own_T = self.named(P), self.named(P, self.transposed[t])
        names = [name for name in self.dense.place if self._matrix(name)[0]]
        blocks = lambda name: self.dense[name].size // math.prod(self._matrix(name))
        pairs = own.transposed_pairs(own_T, names, blocks)
        moments = [moment and moment.dense.copies[t] for moment in (mean, square)]
        return Thread(self.tuple_of(P), self.spec.parameters(own_T, self.model), P, pairs, *moments)

    def pieces(self):
        """[Piece]"""
        sort = lambda name: TABLE if kind(name) == "table" else DECAYED if is_decayed(name) else REST
        found = [Piece(first, first + self.dense[name].size, sort(name)) for name, first in self.dense.place.items()]
        return Items(found, Piece(0, 0, REST))

    def groups(self, tables, biases):
        """[Group], with these tables and item biases."""
        groups = [*self.model.space.groups, *getattr(self.model, "user_groups", list)()]  # BPR-MF's users are objects, too
        kinds = {c.kind for g in groups for c in g.columns}
        none, codes, offsets = tables.array[:0], np.zeros(0, np.int32), np.zeros(0, np.int64)
        found = []
        for g in groups:
            start, lookups, bags, numbers = 0, [], [], []
            for c in g.columns:
                if c.kind == "number":
                    numbers.append(Number(start, c.size, c.values.astype(self.dtype)))
                else:
                    tokens = c.kind == "tokens"
                    ids, bounds = (c.values.ids, c.values.offsets.astype(np.int64)) if tokens else (c.values, None)
                    table = tables[f"table.{c.table}"].reshape(-1)
                    (bags if tokens else lookups).append(Column(start, c.size, table, ids.astype(np.int32, copy=False), bounds))
                start += c.size
            bias = biases[f"bias.{g.name}"] if f"bias.{g.name}" in biases else none  # noqa: SIM401  Flat is no dict
            found.append(
                Group(
                    g.width,
                    g.target_action,
                    bias,
                    Items(lookups, Column(0, 0, none, codes, None)),
                    Items(bags, Column(0, 0, none, codes, offsets)) if "tokens" in kinds else None,
                    Items(numbers, Number(0, 0, none)) if "number" in kinds else None,
                )
            )
        return found
