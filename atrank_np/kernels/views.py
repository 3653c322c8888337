"""How packed arguments look in compiled code: Views, Matrices, lists and structs, and what can be done with them.

A View is an address and a number of rows.
"""

import operator
import zlib

from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr, signature
from numba.extending import NativeValue, intrinsic, make_attribute_wrapper, models, register_model, unbox

from .jit import NOTHING
from .llvm import WORD, Vector, operation, read, word, write


class Words(types.Type):
    """A value of several words: an address, then whole numbers. The base of the next three types."""

    members = ("n",)


class ViewType(Words):
    """lanes: D, the numbers of a row, or 0 for a View of numbers; row: the distance from a row to the next, in numbers."""

    def __init__(self, dtype, lanes=0, row=1):
        self.dtype, self.lanes, self.row = dtype, lanes, row
        self.item = Vector(dtype, lanes) if lanes else dtype
        super().__init__(f"View({dtype},{lanes},{row})")


class MatrixType(Words):
    members = ("rows", "columns", "row", "column", "strip")

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(f"Matrix({dtype})")


class ListType(Words):
    def __init__(self, item):
        self.item, self.dtype = item, types.intp
        super().__init__(f"List({item})")


class StructType(types.Type):
    """A packed NamedTuple. fields: ((name, type), …); the name of the type ends in a hash of them, to be short."""

    def __init__(self, title, fields):
        self.place, words = {}, 0
        for name, kind in fields:
            self.place[name] = words, kind
            words += 1 + len(kind.members) if isinstance(kind, Words) else 0 if kind == types.none else 1
        super().__init__(f"{title}{zlib.crc32(repr(fields).encode()):x}")


# In compiled code: what types hold


@register_model(ViewType)
@register_model(MatrixType)
@register_model(ListType)
class _(models.StructModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), *((m, types.intp) for m in kind.members)])


for _member in MatrixType.members:
    make_attribute_wrapper(MatrixType, _member, _member)

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


def _pointer(builder, struct, place, llvm):
    """Where in memory a field is, as a pointer to its type."""
    words = builder.bitcast(struct, WORD.as_pointer())
    return builder.bitcast(builder.gep(words, [word(place)]), llvm.as_pointer())


@lower_getattr_generic(StructType)
def _(context, builder, kind, value, name):
    place, field = kind.place[name]
    llvm = context.get_value_type(field)
    if field == types.none:
        return NOTHING
    if not isinstance(field, Words):
        return builder.load(_pointer(builder, value, place, llvm))
    members = enumerate(llvm.elements)  # word by word: whole structs are slow to compile
    return cgutils.make_anonymous_struct(builder, [builder.load(_pointer(builder, value, place + i, m)) for i, m in members])


@lower_setattr_generic(StructType)
def _(context, builder, sig, args, name):
    place, field = sig.args[0].place[name]
    value = context.cast(builder, args[1], sig.args[1], field)
    builder.store(value, _pointer(builder, args[0], place, value.type))


# x[i], x[i, j], x[a:b], x[i] = …, x[i, j] = …, len(x)


PLACE = types.UniTuple(types.intp, 2)


def _pair(builder, ij):
    return builder.extract_value(ij, 0), builder.extract_value(ij, 1)


@operation(len)
def _(x):
    return (types.intp, lambda builder, x: builder.extract_value(x, 1)) if isinstance(x, (ViewType, ListType)) else None


@operation(operator.getitem)
def _(x, index):
    if isinstance(x, ViewType) and types.unliteral(index) == types.slice2_type:

        def part(builder, view, index):
            start, stop, n = builder.extract_value(index, 0), builder.extract_value(index, 1), builder.extract_value(view, 1)
            data = builder.gep(builder.extract_value(view, 0), [builder.mul(start, word(x.row))])
            stop = builder.select(builder.icmp_signed("<", stop, n), stop, n)  # in x[a:] stop is the largest number
            return cgutils.make_anonymous_struct(builder, [data, builder.sub(stop, start)])

        return x, part
    if isinstance(x, ViewType) and isinstance(index, types.Integer):
        return x.item, lambda builder, view, i: read(builder, x, view, i, word(0), x.item)
    if isinstance(x, ViewType) and isinstance(index, types.UniTuple):
        return signature(x.dtype, x, PLACE), lambda builder, view, ij: read(builder, x, view, *_pair(builder, ij), x.dtype)
    if isinstance(x, ListType) and isinstance(index, types.Integer):
        struct = lambda builder, items, i: builder.load(builder.gep(builder.extract_value(items, 0), [i]))
        return x.item, lambda builder, *values: builder.inttoptr(struct(builder, *values), cgutils.voidptr_t)


@operation(operator.setitem)
def _(x, index, value):
    if isinstance(x, ViewType) and isinstance(index, types.Integer):
        code = lambda builder, view, i, value: write(builder, x, view, i, word(0), x.item, value)
        return signature(types.none, x, types.intp, x.item), code
    if isinstance(x, ViewType) and isinstance(index, types.UniTuple):
        code = lambda builder, view, ij, value: write(builder, x, view, *_pair(builder, ij), x.dtype, value)
        return signature(types.none, x, PLACE, x.dtype), code


@intrinsic
def fill(typing, struct, values):
    """Fills the fields of a struct that a NamedTuple has, too: with its numbers, or arrays of the same types as before."""

    def code(context, builder, sig, args):
        for i, (name, kind) in enumerate(zip(values.fields, values.types)):
            words = [builder.extract_value(args[1], i)]
            if isinstance(kind, types.Array):
                array = context.make_array(kind)(context, builder, words[0])
                words = builder.ptrtoint(array.data, WORD), array.nitems
            for n, value in enumerate(words):
                builder.store(value, _pointer(builder, args[0], struct.place[name][0] + n, value.type))
        return NOTHING

    for name, kind in zip(values.fields, values.types):
        kind = ViewType(kind.dtype) if isinstance(kind, types.Array) else kind
        assert struct.place[name][1] == kind, f"{name} has another type than before"
    return types.void(struct, values), code
