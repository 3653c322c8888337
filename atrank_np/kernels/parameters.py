"""A model's parameters as the kernels take them: by name from the model, and back."""

import math

import numpy as np

from ..parameters import is_decayed, kind
from .context import Piece, Thread, TransposedPair
from .convolution import Convolution
from .embedding import Column, Group, GroupParameters, Number, NumberParameters
from .layout import Flat, SpaceOrder, aligned
from .matrices import from_strips, matrix, to_strips
from .packed import Items, Matrix
from .ranking import Deep
from .step import DECAYED, REST, TABLE


class FlatParameters:
    """The tables, the item biases and the dense parameters, each in one flat array.

    Dense ones have a copy for each thread; their columns are in the kernels' order, and matrices lie in strips.
    """

    def __init__(self, model, spec, dtype, copies):
        self.model, self.spec, self.dtype, self.shapes = model, spec, dtype, model.shapes()
        self.all_groups = [*model.space.groups, *getattr(model, "user_groups", list)()]  # BPR-MF's users are objects, too
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
        w, (blocks, rows, columns) = self.order.to_kernel(name, w), self.blocks(name)
        return np.concatenate([to_strips(b) for b in w.reshape(blocks, rows, columns)]).reshape(w.shape) if blocks else w

    def _from_kernel(self, name, w):
        blocks, rows, columns = self.blocks(name)
        if blocks:
            w = np.concatenate([from_strips(b, rows) for b in w.reshape(blocks, rows * columns)]).reshape(w.shape)
        return self.order.from_kernel(name, w, self.shapes[name])

    def blocks(self, name):
        """How many matrices it consists of, their rows and columns; 0, 0, 0 for what is no matrix."""
        shape = self.dense.shapes.get(name, (0,))
        if len(shape) == 1 or kind(name) != "weight":
            return 0, 0, 0
        blocks = 3 if name == "f.W1" else 1
        return blocks, math.prod(shape[:-1]) // blocks, shape[-1]

    # For the kernels

    def tuple_of(self, array):
        """The model's NamedTuple of an array like `dense.array`."""
        return Named(self, array).all_of()

    def thread(self, t, mean=None, square=None):
        """The Thread with copy t. mean, square: FlatParameters of the moments."""
        P = self.dense.copies[t]
        own, own_T = Named(self, P), Named(self, P, self.transposed[t])
        pair = lambda *block: TransposedPair(own.matrix(*block), own_T.matrix(*block))
        pairs = [pair(name, block) for name in self.dense.place for block in range(self.blocks(name)[0])]
        moments = [moment and moment.dense.copies[t] for moment in (mean, square)]
        return Thread(own.all_of(), own_T.all_of(), P, Items(pairs, pair("")), *moments)

    def pieces(self):
        """[Piece]"""
        sort = lambda name: TABLE if kind(name) == "table" else DECAYED if is_decayed(name) else REST
        found = [Piece(first, first + self.dense[name].size, sort(name)) for name, first in self.dense.place.items()]
        return Items(found, Piece(0, 0, REST))

    def groups(self, tables, biases):
        """[Group], with these tables and item biases."""
        none, codes, no_offsets = tables.array[:0], np.zeros(0, np.int32), np.zeros(0, np.int64)
        found = []
        for g in self.all_groups:
            start, columns, numbers = 0, [], []
            for c in g.columns:
                if c.kind == "number":
                    numbers.append(Number(start, c.size, c.values.astype(self.dtype)))
                else:
                    tokens, table = c.kind == "tokens", tables[f"table.{c.table}"].reshape(-1)
                    rows, offsets = (c.values.ids, c.values.offsets.astype(np.int64)) if tokens else (c.values, no_offsets)
                    columns.append(Column(start, c.size, table, rows.astype(np.int32, copy=False), offsets))
                start += c.size
            bias = biases[f"bias.{g.name}"] if f"bias.{g.name}" in biases else none  # noqa: SIM401  Flat is no dict
            lists = Items(columns, Column(0, 0, none, codes, no_offsets)), Items(numbers, Number(0, 0, none))
            found.append(Group(g.width, g.target_action, bias, *lists))
        return found


class Named:
    """Makes the NamedTuples of dense parameters. array: like `dense.array`; transposes: the same, for transposed matrices."""

    def __init__(self, parameters, array, transposes=None):
        self.parameters, self.dense, self.array, self.transposes = parameters, parameters.dense, array, transposes

    def matrix(self, name, block=0):
        """The Matrix, or its transpose if transposes are given; without rows and columns if there is none of that name."""
        _, rows, columns = self.parameters.blocks(name)
        first = self.dense.place.get(name, 0) + block * rows * columns
        part = slice(first, first + rows * columns)
        if self.transposes is None:
            return matrix(self.array[part], rows, columns)
        return matrix(self.transposes[part], columns, rows)

    def numbers(self, name):
        return self.dense.of(self.array, name).reshape(-1) if name in self.dense else self.array[:0]

    def vector(self, name):  # [1, D], or [1, 0] if there is none
        return self.numbers(name).reshape(1, -1)

    def of(self, kind, start="", **given):
        """The NamedTuple `kind`: field W_x, if it is not given, is the parameter whose name is the start and W.x."""
        for field, hint in kind.__annotations__.items():
            name = start + field.replace("_", ".")
            if field not in given:
                make = {Matrix: self.matrix, np.ndarray: self.vector}.get(hint)
                given[field] = make(name) if make else self.of(hint, name + ".")
        return kind(**given)

    def all_of(self):
        """The parameters of the whole model."""
        kind, model = self.parameters.spec.parameters, self.parameters.model
        given = {"groups": [self.group(g) for g in self.parameters.all_groups], "deep": self.deep(model)}
        if "windows" in kind._fields:
            given["windows"] = [self.of(Convolution, f"window{w}.") for w in model.windows]
        return self.of(kind, **given)

    def group(self, g):
        names = [f"number.{g.name}.{c.name}." for c in g.columns if c.kind == "number"]
        numbers = [NumberParameters(self.numbers(n + "w"), self.numbers(n + "b")) for n in names]
        F_M = self.matrix(f"F_M.{g.name}.W"), self.vector(f"F_M.{g.name}.b")
        time_and_action = self.numbers(f"time.{g.name}"), self.numbers(f"action.{g.name}")
        return GroupParameters(*F_M, *time_and_action, Items(numbers, NumberParameters(self.array[:0], self.array[:0])))

    def deep(self, model):
        """Deep, or None. W1 is cut into blocks."""
        if model.ranking != "deep":
            return None
        blocks = {f"W1_{part}": self.matrix("f.W1", block) for block, part in enumerate(("h", "e", "he"))}
        return self.of(Deep, "f.", b2=self.numbers("f.b2"), **blocks)
