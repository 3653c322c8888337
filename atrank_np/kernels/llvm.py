"""How kernels get at LLVM: the types Vector and Lanes, and `instruction`, which makes a function out of LLVM instructions.

`Lanes` is a number known to the compiler, the length of a Vector: an argument whose TYPE says n.
An instruction is written at the place of the call: no function of its own is compiled for it.
"""

import functools
import inspect

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_constant
from numba.core.typing.templates import Signature, infer_global, make_intrinsic_template
from numba.extending import intrinsic, models, register_model, typeof_impl

WORD, INT32 = ir.IntType(64), ir.IntType(32)
NOTHING = ir.Constant(ir.IntType(8).as_pointer(), None)  # the value of what has none, because its type says all
FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Lanes:
    """A compile-time number, a constant in a kernel or an argument of it."""

    def __init__(self, n):
        self.n = n


class LanesType(types.Type):
    def __init__(self, n):
        self.n = n
        super().__init__(name=f"Lanes({n})")


class Vector(types.Type):
    def __init__(self, dtype, n):
        self.dtype, self.n, self.llvm = dtype, n, ir.VectorType(FLOATS[dtype], n)
        super().__init__(name=f"Vector({dtype},{n})")


typeof_impl.register(Lanes)(lambda value, context: LanesType(value.n))
lower_constant(LanesType)(lambda context, builder, kind, value: NOTHING)
register_model(LanesType)(models.OpaqueModel)


@register_model(Vector)
class _(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


# How an instruction is defined


def instruction(define):
    """What compiled code calls, from define(types of the arguments) -> type of the result, code.

    code(builder, *values) writes the LLVM. In the place of the type may stand a signature, to whose types the arguments are
    converted. What the types alone decide is a number or Lanes, without code.
    """
    return intrinsic(_definition(define))


def operation(symbol):
    """The same for an operator or a function of Python; define gives None for types that are not its own."""

    def register(define):
        infer_global(symbol)(make_intrinsic_template(symbol, _definition(define), define.__name__))

    return register


def _definition(define):
    @functools.wraps(define)
    def definition(typing, *args):
        found = define(*args)
        if found is None:
            return None
        if isinstance(found, (int, Lanes)):
            kind, value = (types.intp, word(found)) if isinstance(found, int) else (LanesType(found.n), NOTHING)
            found = kind, lambda builder, *values: value
        result, code = found
        if not isinstance(result, Signature):
            result = result(*(types.intp if isinstance(a, types.Integer) else types.unliteral(a) for a in args))

        def write_code(context, builder, sig, values):
            value = code(builder, *values)
            return NOTHING if sig.return_type == types.void else value

        return result, write_code

    parameters = inspect.signature(define).parameters.values()
    definition.__signature__ = inspect.Signature([inspect.Parameter("typing", inspect.Parameter.POSITIONAL_ONLY), *parameters])
    return definition


# LLVM for several of them


def word(n):
    return ir.Constant(WORD, n)


def constant(vector, number):
    return ir.Constant(vector, [number] * vector.count)


def shuffle(builder, value, places, other=None):
    mask = ir.Constant(ir.VectorType(INT32, len(places)), [ir.Constant(INT32, p) for p in places])
    return builder.shuffle_vector(value, value if other is None else other, mask)


def broadcast(builder, number, n):
    one = ir.Constant(ir.VectorType(number.type, 1), ir.Undefined)
    return shuffle(builder, builder.insert_element(one, number, ir.Constant(INT32, 0)), [0] * n)


def call(builder, name, *arguments):
    """One of LLVM's own functions on vectors of one type."""
    kind = arguments[0].type
    name = f"llvm.{name}.v{kind.count}f{32 if kind.element == FLOATS[types.float32] else 64}"
    function = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _place(builder, x, view, row, column, item):
    place = builder.add(builder.mul(row, word(x.row)), column)
    pointer = builder.gep(builder.extract_value(view, 0), [place])
    return builder.bitcast(pointer, item.llvm.as_pointer()) if isinstance(item, Vector) else pointer


def read(builder, x, view, row, column, item):
    """A number or a Vector (`item`) of a View of type x, from number `column` of a row on."""
    return builder.load(_place(builder, x, view, row, column, item), align=x.dtype.bitwidth // 8)


def write(builder, x, view, row, column, item, value):
    builder.store(value, _place(builder, x, view, row, column, item), align=x.dtype.bitwidth // 8)
