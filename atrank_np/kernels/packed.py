"""Packed arguments: how arrays reach compiled code, and how they look there.

Python hands an array over at every call, a quarter of a microsecond each, and numba passes it on as nine numbers. A step
has a hundred arrays. So what stays the same from step to step is packed once: `pack` writes a NamedTuple into a block of
words, and compiled code gets its address. There `own.P_W` reads the field P_W. Fields may be

    a 1-d array          View: x[i] is a number
    a 2-d array [n, D]   View: x[i] is a Vector of D numbers, the whole row (`simd`), and x[i, j] a number of it; D is known
                         to the compiler
    Matrix               a matrix in strips, or a part of one (`matrices`)
    a number             can be written, too, on both sides
    None                 an option that is not in use: `if x is None` is decided when a kernel is compiled, for an
                         argument x, and what is not in use is not compiled
    a NamedTuple, or a list of NamedTuples of one type

`views` says what compiled code does with them. The Python object must live as long as compiled code uses it.
"""

import functools
from collections import namedtuple
from typing import NamedTuple

import numpy as np
from numba import from_dtype, njit, types

from .views import ListType, MatrixType, StructType, ViewType


class Matrix:
    """Number i, j is `array[i · row + (j // J) · strip + j mod J]`, with J of `matrices`."""

    def __init__(self, array, rows, columns, row, strip):
        self.array, self.words = array, (address(array), rows, columns, row, 1, strip)


class Packed:
    """A block of words in memory. Fields that are numbers can be read and written."""

    def __init__(self, kind, words, keep):
        """keep: field -> what its words point to: an array, or what else was packed."""
        vars(self).update(_numba_type_=kind, words=words, keep=keep, address=address(words), floats=words.view(np.float64))

    def __getattr__(self, name):
        place, kind = self._numba_type_.place[name]
        return (self.floats if kind == types.float64 else self.words)[place].item()

    def __setattr__(self, name, value):
        place, kind = self._numba_type_.place[name]
        (self.floats if kind == types.float64 else self.words)[place] = value


class Items(NamedTuple):
    """A list, and an example of its items, which gives their type where the list is empty."""

    items: list
    example: object


def address(array):
    assert array.size == 0 or array.shape[-1] == 1 or array.strides[-1] == array.itemsize
    return array.__array_interface__["data"][0]


def pack(value):
    """A NamedTuple, with all that it holds, as Packed."""
    if isinstance(value, Packed):
        return value
    fields = [(name, *_words(field)) for name, field in zip(value._fields, value)]
    kind = StructType(type(value).__name__, tuple((name, kind) for name, kind, _, _ in fields))
    words = [word for _, _, field, _ in fields for word in field]
    return Packed(kind, np.array(words or [0], np.int64), {name: keep for name, *_, keep in fields})


def _words(value):
    """-> its type, its words, what must be kept alive."""
    if value is None:
        return types.none, (), None
    if isinstance(value, np.ndarray):
        shape = (value.shape[1], value.strides[0] // value.itemsize) if value.ndim == 2 else ()
        kind = ViewType(from_dtype(value.dtype), *shape)
        return kind, (address(value), len(value)), value
    if isinstance(value, Matrix):
        return MatrixType(from_dtype(value.array.dtype)), value.words, value.array
    if isinstance(value, (list, Items)):
        if isinstance(value, list):
            value = Items(value, value[0])
        items, kind = [pack(item) for item in value.items], pack(value.example)._numba_type_
        assert all(item._numba_type_ == kind for item in items), "a list holds NamedTuples of one type"
        places = np.array([item.address for item in items], np.int64)
        return ListType(kind), (address(places), len(items)), (items, places)
    if isinstance(value, (float, np.floating)):
        return types.float64, np.array([value], np.float64).view(np.int64), None
    if isinstance(value, (int, np.integer)):
        return types.int64, (value,), None
    packed = pack(value)
    return packed._numba_type_, (packed.address,), packed


def ready(kernel, *arguments):
    """-> a function without arguments that calls a kernel from Python, with arrays as Views and what else `pack` takes."""
    packed = pack(namedtuple("Arguments", [f"a{i}" for i in range(len(arguments))])(*arguments))
    caller = _caller(kernel, len(arguments))
    return lambda: caller(packed)


@functools.cache
def _caller(kernel, count):
    return njit(eval(f"lambda a: kernel({', '.join(f'a.a{i}' for i in range(count))})", {"kernel": kernel}), nogil=True)
