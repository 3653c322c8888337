"""How numba compiles the kernels, in three kinds, and constants to call them with."""

import numpy as np

# A call that Python makes at every step, or one that makes arrays of its own.
STEP = {"error_model": "numpy", "cache": True, "nogil": True}
# A kernel makes no arrays, so it needs no counts of who holds one: `_nrt`, the runtime that counts, is left out. Two threads
# would write to the counts of all arrays that they share, at every mention, and each write takes a line from the other's cache.
KERNEL = STEP | {"_nrt": False}
# Called from compiled code alone: without the wrappers for Python, whose arguments are long, compiling is quicker.
INNER = KERNEL | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Constants with their types: for an argument that is a bare 0 or True numba compiles a function anew.
ZERO, ONE = np.int64(0), np.int64(1)
SET, ADD = np.bool_(False), np.bool_(True)  # what a kernel does with its result: y = …, or y += …
