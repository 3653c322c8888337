"""numba twins of those `layers` that need speed, and the compiled training step that calls them.

Begin with `feedforward.relu_forward`: every kernel is written like these few lines.

**Views and Vectors.** In compiled code a 2-d array is a View of rows. `x[i]` is a row: a Vector of D numbers, which + - * / and
the functions of `simd` take as a whole. `x[a:b]` is a View of some rows, without a copy; `len(x)` is their number. D is part of
the type of x, so a kernel is compiled for one width, and no argument says it. A 1-d array is a View of numbers. A vector of
parameters is a View of one row, `b[0]`. Nothing is checked at run time: no bounds, and no index counts from the end.

**A kernel's signature is its layer's, with the arrays that it writes.** First what is read, then what is written; the comment
on the `def` line gives the shapes. A gradient of parameters is always added to; other results are written, unless the name
says `add`. What travels together is one NamedTuple: `FeedForward` (parameters; the same type holds their transposes and their
gradients: `own.F`, `own_T.F`, `d_own.F`), `FeedForwardCache`, `Operands` (query, key, value, or their gradients).

**Packed arguments.** `pack` lays a NamedTuple out in memory once, when the workspace is made; compiled code gets its address,
and `own.P_W` reads a field (`packed`). A step has one argument of this kind: `context.Context`.

**Options.** What is not in use is None: `mask`, `deep`, `rule`, `loss`. `if mask is None` on an ARGUMENT is decided when a kernel
is compiled, and the other branch is left out. So an option compiles when it is first used.

**Compiling.** `@kernel` compiles once, and callers hold its symbol; `@inline` is for what is too small to be called; `@entry`
is what Python calls (`jit`). Compile time grows with the number of compiled functions and of their arguments. So write kernels
over many rows, not over one, and pass constants with a type (`jit.ZERO`): to numba, a bare 0 has a type of its own.

**A new model** needs four things, as in `atrank`: `Parameters`, a NamedTuple whose fields are named like the parameters (`user_W`
is "user.W"; `groups` and `deep` come first); `make_buffers`, the rows of a chunk; the kernel `chunk_step`, what lies between the
common space and its gradient; the entry `step`. And it needs a `KernelSpec` in `backend.SPECS`.

The modules, in the order in which they call each other:
    cache               where compiled code is kept
    llvm simd           LLVM instructions; Vector, and what can be computed with it
    jit progress        how numba compiles kernels, and what a terminal sees
    views packed        View in compiled code; packed arguments in Python
    matrices products   matrices in strips; their products and transposes
    layout              aligned arrays, the order of columns
    elementwise         loops over rows and over numbers
    embedding feedforward attention lstm convolution ranking      twins of the layers
    context             the packed arguments of a step
    workspace           shards, chunks, the common space
    threads             the barrier
    optimizer           twin of `optimizer.Rule`
    step                a training step: shards, chunks, the update
    atrank bilstm cnn bpr_mf      what the models do in it
    catalogue           ranking all objects for one history
    parameters          parameters by name
    exchange            what the ranks of a program exchange in a step
    backend             what Python sees

Tricks, and what each is worth in the training step (AVX-512, alternating runs with and without; batch x threads):

    what                          why                                           worth             switch it off and see
    space index innermost         the softmax of all spaces in one register     (ladder)          lesson 17, rung 3
    queries in pairs              what is loaded serves two                     (ladder)          lesson 17
    tiles of up to 6 rows         sums stay in registers                        45 % (32 x 1)     products.TALLEST = 1
    matrices in strips            no 512-byte steps, memory is prefetched       6 to 8 %          matrices.in_strips: return False
    gap between rows              rows 512 bytes apart share sets of the cache  3 % (256 x 1)     layout.GAP = 0
    rows of tables prefetched     they come from far away                       1 to 3 % (32 x 1) workspace.AHEAD = 1000000
    barrier in compiled code      no way back to Python before the update       4 % (32 x 2)      two runs of the team
    a copy of P for each thread   lines that another core wrote are slow        5 % (32 x 2)      one copy, one thread updates it
    values times W1 (catalogue)   short histories: depth n K in place of D      18 to 31 %, there catalogue: short = False
"""

import numba
from numba.core.dispatcher import Dispatcher

from .cache import cache_folder

_before = numba.config.CACHE_DIR, Dispatcher.enable_caching
numba.config.CACHE_DIR = cache_folder()
if numba.config.CACHE_DIR is None:
    Dispatcher.enable_caching = lambda dispatcher: None
try:
    from .backend import NumbaBackend  # noqa: F401  numba asks for the folder when a function is defined
finally:
    numba.config.CACHE_DIR, Dispatcher.enable_caching = _before
