"""What the backend must know of a model's kernels, and how it finds their parameters by name."""

from typing import NamedTuple

from .attention import Attention
from .context import TransposedPair
from .embedding import GroupParameters, NumberParameters
from .feedforward import FeedForward
from .lstm import LSTM
from .packed import Items
from .products import matrix
from .ranking import Deep


class KernelSpec(NamedTuple):
    step: object  # the entry
    parameters: object  # (Named, model) -> the NamedTuple of its parameters
    buffers: object  # NamedTuple of a chunk's rows
    other_buffers: object = lambda model, R, dtype: {}  # those that are no rows of D numbers, by name
    functions: int = 0  # that are compiled for the defaults, about
    blocks: tuple = ("f.W1",)  # matrices that are used in blocks of D rows
    alone: bool = False  # a step is so short (50 microseconds) that one thread is quicker than waking a second


class Named:
    """Dense parameters by name, as the kernels take them, in an array like `flat.array`.

    shape_of: name -> rows and columns of a matrix as products use it. transposes: an array where each matrix has its
    transpose; then these are taken, and the vectors of the other array."""

    def __init__(self, flat, array, shape_of, transposes=None):
        self.flat, self.array, self.shape_of, self.transposes = flat, array, shape_of, transposes

    def vector(self, name):  # [1, D], or [1, 0] if there is none
        return self.numbers(name).reshape(1, -1)

    def numbers(self, name):
        return self.flat.of(self.array, name).reshape(-1) if name in self.flat else self.array[:0]

    def matrix(self, name, block=0):  # without rows and columns if there is none
        if name not in self.flat:
            return matrix(self.array[:0], 0, 0)
        rows, columns = self.shape_of(name)
        first = self.flat.place[name] + block * rows * columns
        if self.transposes is None:
            return matrix(self.array[first : first + rows * columns], rows, columns)
        return matrix(self.transposes[first : first + rows * columns], columns, rows)

    def groups(self, groups):
        """[GroupParameters]"""
        any_number = any(c.kind == "number" for g in groups for c in g.columns)
        example = NumberParameters(self.array[:0], self.array[:0])
        found = []
        for g in groups:
            names = [f"number.{g.name}.{c.name}." for c in g.columns if c.kind == "number"]
            numbers = Items([NumberParameters(self.numbers(n + "w"), self.numbers(n + "b")) for n in names], example)
            found.append(
                GroupParameters(
                    self.matrix(f"F_M.{g.name}.W"),
                    self.vector(f"F_M.{g.name}.b"),
                    self.numbers(f"time.{g.name}"),
                    self.numbers(f"action.{g.name}"),
                    numbers if any_number else None,
                )
            )
        return found

    def deep(self, model):
        """Deep, or None."""
        if model.ranking != "deep":
            return None
        blocks = [self.matrix("f.W1", block) for block in range(3)]
        return Deep(*blocks, self.vector("f.b1"), self.vector("f.w2"), self.numbers("f.b2"))

    def attention(self, layer):
        W, b = (lambda name: self.matrix(f"{layer}.{name}")), (lambda name: self.vector(f"{layer}.{name}"))
        return Attention(W("P.W"), b("P.b"), W("W"), W("Q.W"), b("Q.b"))

    def feed_forward(self, layer):
        make = lambda name: (self.matrix if name in ("W1", "W2") else self.vector)(f"{layer}.F.{name}")
        return FeedForward(*map(make, FeedForward._fields))

    def lstm(self, direction):
        return LSTM(self.matrix(f"{direction}.W"), self.matrix(f"{direction}.U"), self.vector(f"{direction}.b"))

    def transposed_pairs(self, other, names, blocks_of):
        """[TransposedPair] for all matrices: of self, into `other`."""
        found = [TransposedPair(self.matrix(n, b), other.matrix(n, b)) for n in names for b in range(blocks_of(n))]
        return Items(found, TransposedPair(self.matrix(""), other.matrix("")))
