"""How numba compiles the kernels: `entry` for what Python calls, `kernel` for what compiled code calls."""

import numpy as np
from numba import njit

# Kernels make no arrays, so they do without numba's runtime that counts who holds one (`_nrt`): two threads would write
# to the same counters all the time.
_ENTRY = {"error_model": "numpy", "cache": True, "nogil": True, "_nrt": False}
entry = njit(**_ENTRY)
# Without the wrappers through which Python calls; and kept on disk only as a part of the entries that call it.
kernel = njit(**_ENTRY | {"cache": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True})

# Constants with their types: for a bare 0 or True numba compiles a function anew.
NONE = np.int64(0)
SET, ADD = np.bool_(False), np.bool_(True)  # what a product does with its result: y = …, or y += …
