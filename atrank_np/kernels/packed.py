"""Packed arguments: how arrays reach compiled code, and how they look there.

Python hands an array over at every call, a quarter of a microsecond each, and numba passes it on as nine numbers. A step
has a hundred arrays. So what stays the same from step to step is packed once: `pack` writes a NamedTuple into a block of
words, and compiled code gets its address. There `own.P_W` reads the field P_W. Fields may be

    a 1-d array          View: x[i] is a number
    a 2-d array [n, D]   View: x[i] is a Vector of D numbers, the whole row (`simd`); D is known to the compiler
    Matrix               a matrix with any distance between rows and columns (`products`)
    a number             can be written, too, on both sides
    None                 an option that is not in use: `if x is None` is decided when a kernel is compiled, for an
                         argument x, and what is not in use is not compiled
    a NamedTuple, or a list of NamedTuples of one type

A View is an address and a number of rows; x[a:b] is a View of the rows a … b-1. Nothing is checked at run time: no
bounds, and no index from the end. The Python object must live as long as compiled code uses it.
"""

import functools
import operator
import zlib
from collections import namedtuple
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import NativeValue, intrinsic, lower_builtin, models, register_model, unbox

from .simd import Vector

WORD = ir.IntType(64)


class ViewType(types.Type):
    """lanes: D of rows of D numbers, 0 for single numbers; row: from a row to the next."""

    def __init__(self, dtype, lanes=0, row=1):
        self.dtype, self.lanes, self.row = dtype, lanes, row
        self.item = Vector(dtype, lanes) if lanes else dtype
        super().__init__(f"View({dtype},{lanes},{row})")


class MatrixType(types.Type):
    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Matrix({dtype})")


class StructType(types.Type):
    """fields: ((name, type), …). Its short name ends in a hash of them."""

    def __init__(self, title, fields):
        self.fields = fields
        self.place, words = {}, 0
        for name, kind in fields:
            self.place[name] = words, kind
            words += WORDS.get(type(kind), 1)
        self.words = words
        super().__init__(f"{title}{zlib.crc32(repr(fields).encode()):x}")


class ListType(types.Type):
    def __init__(self, item):
        self.item = item
        super().__init__(f"List({item})")


WORDS = {ViewType: 2, MatrixType: 6, ListType: 2, types.NoneType: 0}


# In Python


class Matrix:
    """Number i, j is `array[i · row + j · column]`; `strip` is the distance from a column to the J-th after it."""

    def __init__(self, array, rows, columns, row, strip):
        self.array, self.words = array, (address(array), rows, columns, row, 1, strip)


class Packed:
    """A block of words in memory, `words`; `keep` holds what it points to. Fields that are numbers can be read and written."""

    def __init__(self, kind, words, keep):
        """keep: field -> what its words point to."""
        vars(self).update(_numba_type_=kind, words=words, keep=keep, address=address(words), floats=words.view(np.float64))

    def arrays(self, name):
        """The array of a field."""
        return self.keep[name]

    def __getattr__(self, name):
        place, kind = self._numba_type_.place[name]
        return (self.floats if kind == types.float64 else self.words)[place].item()

    def __setattr__(self, name, value):
        place, kind = self._numba_type_.place[name]
        (self.floats if kind == types.float64 else self.words)[place] = value


class Items(NamedTuple):
    """A list whose items are like the example, if it has any."""

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


# In compiled code: what types hold


@register_model(ViewType)
class _(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), ("n", types.intp)])


@register_model(MatrixType)
class _(models.StructModel):
    def __init__(self, manager, kind):
        numbers = [(name, types.intp) for name in ("rows", "columns", "row", "column", "strip")]
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), *numbers])


@register_model(ListType)
class _(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("data", types.CPointer(types.intp)), ("n", types.intp)])


register_model(StructType)(models.OpaqueModel)


@unbox(StructType)
def _(kind, value, context):
    word = context.pyapi.object_getattr_string(value, "address")
    place = context.pyapi.long_as_longlong(word)
    context.pyapi.decref(word)
    return NativeValue(context.builder.inttoptr(place, cgutils.voidptr_t))


# Fields


@infer_getattr
class _(AttributeTemplate):
    key = StructType

    def generic_resolve(self, kind, name):
        return kind.place[name][1] if name in kind.place else None


@infer_getattr
class _(AttributeTemplate):
    key = MatrixType

    def generic_resolve(self, kind, name):
        return types.intp if name in ("rows", "columns", "row", "column", "strip") else None


def _field(context, builder, value, place, kind):
    """Where in memory a field is, as a pointer to its type."""
    words = builder.bitcast(value, WORD.as_pointer())
    return builder.bitcast(builder.gep(words, [ir.Constant(WORD, place)]), context.get_value_type(kind).as_pointer())


@lower_getattr_generic(StructType)
def _(context, builder, kind, value, name):
    place, field = kind.place[name]
    if isinstance(field, types.NoneType):
        return context.get_dummy_value()
    if field == types.int64 or field == types.float64 or isinstance(field, StructType):
        return builder.load(_field(context, builder, value, place, field))
    struct = cgutils.create_struct_proxy(field)(context, builder)  # word by word: whole structs are slow to compile
    for i, member in enumerate(context.data_model_manager[field]._fields):
        pointer = _field(context, builder, value, place + i, context.data_model_manager[field]._members[i])
        setattr(struct, member, builder.load(pointer))
    return struct._getvalue()


@lower_setattr_generic(StructType)
def _(context, builder, sig, args, name):
    place, field = sig.args[0].place[name]
    builder.store(context.cast(builder, args[1], sig.args[1], field), _field(context, builder, args[0], place, field))


@lower_getattr_generic(MatrixType)
def _(context, builder, kind, value, name):
    return getattr(cgutils.create_struct_proxy(kind)(context, builder, value), name)


# x[i], x[a:b], x[i] = …, len(x)


@infer_global(len)
class _(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], (ViewType, ListType)):
            return signature(types.intp, args[0])


@infer_global(operator.getitem)
class _(AbstractTemplate):
    def generic(self, args, kws):
        x, index = args
        if isinstance(x, (ViewType, ListType)) and isinstance(index, types.Integer):
            return signature(x.item, x, types.intp)
        if isinstance(x, ViewType) and index == types.slice2_type:
            return signature(x, x, index)


@infer_global(operator.setitem)
class _(AbstractTemplate):
    def generic(self, args, kws):
        x, index, value = args
        if isinstance(x, ViewType) and isinstance(index, types.Integer):
            return signature(types.none, x, types.intp, x.item)


def _view(context, builder, kind, value):
    return cgutils.create_struct_proxy(kind)(context, builder, value)


def item_pointer(context, builder, kind, value, row, column=None):
    """The address of number `column` of a row."""
    place = builder.mul(row, ir.Constant(WORD, kind.row))
    if column is not None:
        place = builder.add(place, column)
    return builder.gep(_view(context, builder, kind, value).data, [place])


@lower_builtin(len, ViewType)
@lower_builtin(len, ListType)
def _(context, builder, sig, args):
    return _view(context, builder, sig.args[0], args[0]).n


@lower_builtin(operator.getitem, ViewType, types.intp)
def _(context, builder, sig, args):
    pointer = item_pointer(context, builder, sig.args[0], *args)
    return load_from(context, builder, sig.return_type, pointer)


@lower_builtin(operator.getitem, ListType, types.intp)
def _(context, builder, sig, args):
    return builder.inttoptr(
        builder.load(builder.gep(_view(context, builder, sig.args[0], args[0]).data, [args[1]])), cgutils.voidptr_t
    )


@lower_builtin(operator.getitem, ViewType, types.slice2_type)
def _(context, builder, sig, args):
    part = context.make_helper(builder, types.slice2_type, args[1])
    out = _view(context, builder, sig.args[0], None)
    out.data = item_pointer(context, builder, sig.args[0], args[0], part.start)
    n = _view(context, builder, sig.args[0], args[0]).n
    stop = builder.select(builder.icmp_signed("<", part.stop, n), part.stop, n)  # in x[a:] it is the largest of all numbers
    out.n = builder.sub(stop, part.start)
    return out._getvalue()


@lower_builtin(operator.setitem, ViewType, types.intp, types.Any)
def _(context, builder, sig, args):
    pointer = item_pointer(context, builder, sig.args[0], *args[:2])
    store_to(context, builder, sig.args[2], args[2], pointer)


def load_from(context, builder, kind, pointer):
    """A number or a Vector from an address."""
    if isinstance(kind, Vector):
        pointer = builder.bitcast(pointer, context.get_value_type(kind).as_pointer())
        return builder.load(pointer, align=kind.dtype.bitwidth // 8)
    return builder.load(pointer)


def store_to(context, builder, kind, value, pointer):
    if isinstance(kind, Vector):
        pointer = builder.bitcast(pointer, value.type.as_pointer())
        builder.store(value, pointer, align=kind.dtype.bitwidth // 8)
    else:
        builder.store(value, pointer)


@intrinsic
def numbers_of(typing, x):
    """The numbers of all rows as a View; row i begins at i · apart(x)."""
    kind = ViewType(x.dtype)

    def code(context, builder, sig, args):
        out = cgutils.create_struct_proxy(kind)(context, builder)
        view = cgutils.create_struct_proxy(x)(context, builder, args[0])
        out.data, out.n = view.data, builder.mul(view.n, ir.Constant(WORD, x.row))
        return out._getvalue()

    return kind(x), code


def make_matrix(context, builder, kind, data, rows, columns, strip, row=None, column=None):
    """A Matrix that lies row by row, unless other distances are given."""
    out = cgutils.create_struct_proxy(kind)(context, builder)
    out.data, out.rows, out.columns = data, rows, columns
    out.row = columns if row is None else row
    out.column = ir.Constant(WORD, 1) if column is None else column
    out.strip = strip
    return out._getvalue()


@intrinsic
def fill(typing, struct, values):
    """Points the fields of a struct to other arrays of the same types: values is a NamedTuple of NumPy arrays."""

    def code(context, builder, sig, args):
        for i, (name, array_type) in enumerate(zip(values.fields, values.types)):
            place, field = struct.place[name]
            array = context.make_array(array_type)(context, builder, builder.extract_value(args[1], i))
            for n, word in enumerate((builder.ptrtoint(array.data, WORD), array.nitems)):
                builder.store(word, _field(context, builder, args[0], place + n, types.int64))
        return context.get_dummy_value()

    for name, array in zip(values.fields, values.types):
        assert struct.place[name][1] == ViewType(array.dtype), f"{name} has another type than before"
    return types.void(struct, values), code
