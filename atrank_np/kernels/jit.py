"""How numba compiles the kernels.

    @entry    what Python calls
    @kernel   what compiled code calls: compiled once, its callers know it by a symbol, as a C compiler's would
    @inline   small helpers, which LLVM places into their callers

numba copies the code of every function into each of its callers, and compiles it there again: at the fifth level of calls for
the fifth time. That was half of the time of a first run, so kernels are called by symbol.
"""

import copy
import functools
import hashlib
import importlib

import llvmlite.binding
import numpy as np
from numba import njit
from numba.core.imputils import lower_builtin, lower_constant, user_function
from numba.core.registry import CPUDispatcher
from numba.core.types import Dispatcher
from numba.extending import models, register_model, typeof_impl

from .llvm import NOTHING

# Kernels make no arrays, so they do without numba's counting of references (`_nrt`): all threads would write to the same
# counters.
ENTRY = {"error_model": "numpy", "cache": True, "nogil": True, "_nrt": False, "no_cfunc_wrapper": True}
# Helpers are not cached alone: one from the cache would not tell its callers which kernels to load first.
INNER = {"error_model": "numpy", "nogil": True, "_nrt": False, "no_cfunc_wrapper": True, "no_cpython_wrapper": True}
entry, inline = njit(**ENTRY), njit(**INNER)

# Constants with their types: for a bare 0 or True numba compiles a function anew.
ZERO = np.int64(0)
SET, ADD = np.bool_(False), np.bool_(True)  # what a product does with its result: y = …, or y += …


class Kernel(CPUDispatcher):
    """A function whose compiled callers hold its symbol in the place of its code."""

    def symbol(self, types):
        text = ", ".join(map(str, types))
        return f"{self.__module__}.{self.__name__}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def add_overload(self, compiled):  # numba calls it with what it has compiled, or found in its cache
        super().add_overload(compiled)
        types = compiled.signature.args
        called = copy.copy(compiled.fndesc)
        called.mangled_name = symbol = self.symbol(types)
        llvmlite.binding.add_symbol(symbol, compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))
        load = functools.partial(_load, self.__module__, self.__name__, types)

        @lower_builtin(symbol, *types)
        def call(context, builder, sig, args):
            context.active_code_library._reload_init.add(load)  # a caller that comes from the cache loads its kernels first
            return user_function(called, ())(context, builder, sig, args)

    def get_overload(self, types):  # what numba looks for when it compiles a call
        return self.symbol(types)


class KernelType(Dispatcher):
    """The type of a kernel as an argument of an @inline function. numba's own would put an address into what is cached."""


typeof_impl.register(Kernel)(lambda kernel, context: KernelType(kernel))
register_model(KernelType)(models.OpaqueModel)
lower_constant(KernelType)(lambda context, builder, kind, kernel: NOTHING)


def _load(module, name, types):
    getattr(importlib.import_module(module), name).compile(types)


def kernel(function):
    made = Kernel(function, targetoptions=INNER | {"nopython": True, "boundscheck": None})
    made.enable_caching()
    return made
