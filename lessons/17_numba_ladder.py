# %% [markdown]
# # Lesson 17. The ladder: loops, NumPy, numba, the compiled step
#
# *Before it: lessons 08 and 09 (attention), 14. About 30 minutes. The first run compiles for some ten seconds; later ones find
# the result in a cache.*
#
# One formula, four ways to compute it. For a history of $n$ behaviours, in every space $k$ with its $d$ columns:
#
# $$ c_i = \sum_j a_{ij} v_j \qquad a_{i\cdot} = \mathrm{softmax}(q_i \cdot k_1, \dots, q_i \cdot k_n) \qquad (3)–(5) $$
#
# All ways give the same numbers. The definition is the NumPy one; a fast one that is not equal is not fast, it is wrong.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: we compare one thread with one thread
import time

import numpy as np
from _common import figure
from numba import njit

from atrank_np.backend import NumpyBackend, make_backend
from atrank_np.gradcheck import dense, random_batch, relative_error, toy_problem
from atrank_np.kernels import attention as kernels
from atrank_np.kernels.layout import SpaceOrder, aligned
from atrank_np.kernels.packed import ready
from atrank_np.layers.attention import attend_backward, attend_forward

D, K, n = 128, 8, 24
rng = np.random.default_rng(17)
query, key, value, dc = (0.3 * rng.standard_normal((4, n, D))).astype(np.float32)


def seconds(work, repeats=9):
    """The median: a mean would hold what other programs did meanwhile."""
    clock = [time.perf_counter()]
    for _ in range(repeats):
        work()
        clock.append(time.perf_counter())
    return float(np.median(np.diff(clock)))


# %% [markdown]
# ## Rung 1: loops that mirror the formula
#
# Python looks up every name and makes an object of every number: up to a microsecond for each product.
# %%
def attend_loops(query, key, value, K):  # [n,D], [n,D], [n,D] -> [n,D]
    n, D = query.shape
    d = D // K
    c, a = np.zeros_like(query), np.zeros(n, query.dtype)
    for k in range(K):
        for i in range(n):
            highest = -np.inf
            for j in range(n):
                s = 0.0
                for m in range(k * d, (k + 1) * d):
                    s += query[i, m] * key[j, m]
                a[j] = s
                highest = max(highest, s)
            z = 0.0
            for j in range(n):
                a[j] = np.exp(a[j] - highest)
                z += a[j]
            for j in range(n):
                for m in range(k * d, (k + 1) * d):
                    c[i, m] += a[j] / z * value[j, m]
    return c


# %% [markdown]
# ## Rung 2: NumPy. Rung 3: the same loops, compiled
#
# NumPy runs whole arrays through compiled code; what remains are a dozen calls per history, and arrays in between. numba
# translates rung 1 as it stands. That is a leap, and yet it loses to NumPy here: each sum is one long chain of additions, and
# every addition waits for the one before. The first call compiles: **never time the first call**.
# %%
whole = np.array([0, n])
numpy_c, cache = attend_forward(query, key, value, whole, whole, K)
compiled = njit(attend_loops)
first_call = seconds(lambda: compiled(query, key, value, K), 1)
assert relative_error(attend_loops(query[:5], key[:5], value[:5], K), compiled(query[:5], key[:5], value[:5], K)) < 1e-6
assert relative_error(compiled(query, key, value, K), numpy_c) < 1e-5

# %% [markdown]
# ## Rung 4: a kernel that knows the machine
#
# A core multiplies 8 or 16 numbers at once, if they lie side by side and nobody waits for anybody. In the formula's order a sum
# runs over $d = 16$ numbers that must end as ONE: a poor fit. The kernel turns the columns: number $j$ of space $k$ lies at
# $j·K + k$. Now the 8 scores of a pair lie side by side, and the softmax takes all 8 spaces at once. `SpaceOrder` turns, once,
# when the parameters are loaded; no formula changes. And queries go in pairs: each value that is loaded serves two of them.
# %%
turn = SpaceOrder(D, K)
q2, k2, v2, g2, c2, dq2, dk2, dv2 = (aligned((n, D), np.float32) for _ in range(8))
for theirs, ours in ((q2, query), (k2, key), (v2, value), (g2, dc)):
    theirs[...] = ours[:, turn.columns]
weight, dscore = (aligned(shape, np.float32) for shape in (((n + 1) // 2 * n, 2 * K), (n, 2 * K)))
operands, gradients = kernels.Operands(q2, k2, v2), kernels.Operands(dq2, dk2, dv2)
forward = ready(kernels.attend_forward, operands, 1, weight, c2)  # 1: keep the weights for the backward pass
grad = ready(kernels.attend_backward, g2, operands, 1, weight, dscore, gradients)
forward(), grad()
gradients = zip((dq2, dk2, dv2), attend_backward(dc, cache))  # these too must be equal, or the rung does not count
assert all(relative_error(a[:, turn.inverse], b) < 1e-5 for a, b in [(c2, numpy_c), *gradients])
rungs = {
    "loops": seconds(lambda: attend_loops(query, key, value, K), 3),
    "NumPy": seconds(lambda: attend_forward(query, key, value, whole, whole, K), 51),
    "numba loops": seconds(lambda: compiled(query, key, value, K), 51),
    "kernel": seconds(forward, 201),
}
for name, taken in rungs.items():
    print(f"{name:12} {1e9 * taken / n**2:10.1f} ns a pair (i, j): {rungs['loops'] / taken:6.0f} times as fast as rung 1")
assert rungs["loops"] > 10 * rungs["numba loops"] and rungs["NumPy"] > rungs["kernel"]

# %% [markdown]
# ## With a pencil: how much work per byte?
#
# A pair needs $2D$ operations for its scores and $2D$ for its share of $c$: $4 n^2 D$ in all. If everything is moved once, these
# are $q, k, v, c$: $4nD$ numbers, $16nD$ bytes. The **intensity** is $4n^2D / 16nD = n/4$ operations a byte. A product of $N$
# rows with a $D × D$ matrix does $2ND^2$ operations on $4(2ND + D^2)$ bytes: for $N = 1$ nearly ½, for $N = 64$ it is 16. And
# decaying a whole table: one operation for 8 bytes, ⅛, whatever one does. (That is why lesson 15 does not do it.)
# %%
intensity = lambda N: 2 * N * D * D / (4 * (2 * N * D + D * D))
assert intensity(64) == 16 and round(intensity(1), 2) == 0.49
# %% [markdown]
# ## The roofline
#
# A core can do at most `peak` operations a second, and memory can bring at most `stream` bytes. Work of intensity $I$ can
# therefore never run faster than $\min(peak, I · stream)$: a roof. (What stays in the cache may stand above the slope.) Below the
# flat part better code helps; at the slope only fewer bytes do.
# %%
matrix, big = rng.standard_normal((D, D)).astype(np.float32), np.ones(8_000_000, np.float32)
products = {}
for N in (1, 4, 16, 64, 256):
    x, y = rng.standard_normal((N, D)).astype(np.float32), np.empty((N, D), np.float32)
    products[N] = 2 * N * D * D / seconds(lambda x=x, y=y: np.matmul(x, matrix, out=y), 101) / 1e9
decay = len(big) / seconds(lambda: np.multiply(big, 0.999, out=big)) / 1e9
peak, stream = max(products.values()), 8 * decay
print(f"this core: about {peak:.0f} billion operations/s in products, {stream:.1f} GB/s from memory")

# %% [markdown]
# ## The compiled step
#
# A whole training step has about forty products of a few dozen rows, and Python's share between them is larger than the work. So
# the package compiles the step whole: one call from Python, kernels for everything inside, the products too. Same batch, same
# parameters, same gradients (to the rounding of float32, so measured against the largest gradient of all):
# %%
model, params, _, _, config = toy_problem(rng, width=D, spaces=K, shards=1, threads=1, backend="numba")
params = model.init(0)
batch = random_batch(rng, model.space.groups, rng.integers(1, 16, size=16).tolist(), [2] * 16)
slow = NumpyBackend(model, {name: w.copy() for name, w in params.items()}, config)
fast = make_backend(model, params, config)
compile_seconds = fast.warm_up(batch)
(loss, expected), (fast_loss, found) = slow.gradients(batch), fast.gradients(batch)
flat = lambda gradients: np.concatenate([dense(gradients[name], params[name].shape).ravel() for name in params])
assert abs(loss - fast_loss) < 1e-6 and relative_error(flat(found), flat(expected)) < 1e-5
N, T = len(batch.object), len(batch.label)
operations = 3 * 2 * D * D * (7 * N + 3 * T)  # the D × D products: one forward, two backward (by the input, by the matrix)
step = {"NumPy": seconds(lambda: slow.train_step(batch, 0.1), 15), "compiled": seconds(lambda: fast.train_step(batch, 0.1), 51)}
print(
    f"a step of {N} behaviours and {T} targets: NumPy {1e3 * step['NumPy']:.2f} ms, compiled {1e3 * step['compiled']:.2f} ms; "
    f"compiling or loading took {compile_seconds:.1f} s"
)

# %% [markdown]
# ## The picture
# %%
with figure("17_ladder", columns=2, size=(12, 4.6)) as (fig, axes):
    bars = axes[0].barh(list(rungs)[::-1], [1e9 * t / n**2 for t in rungs.values()][::-1], color=["C0", "C2", "C1", "0.6"])
    axes[0].bar_label(bars, [f"{1e9 * t / n**2:,.0f} ns" for t in rungs.values()][::-1], padding=3)
    axes[0].set(xscale="log", xlim=(1, 1e8), xlabel="ns for one pair (i, j), 8 spaces")
    axes[0].set_title(f"attention of one history, n = {n}")
    roof = np.geomspace(0.08, 64, 50)
    axes[1].loglog(roof, np.minimum(peak, roof * stream), "k", lw=1.5)
    for (name, taken), colour in zip(rungs.items(), ("0.6", "C1", "C2", "C0")):
        speed = 4 * n * n * D / taken / 1e9
        axes[1].plot(n / 4, speed, "o", color=colour)
        axes[1].annotate(name, (n / 4, speed), (8, -3), textcoords="offset points", fontsize=9, color=colour)
    axes[1].plot([intensity(rows) for rows in products], products.values(), "kx-", lw=0.5)
    axes[1].text(0.07, 2 * peak, "× products of 1, 4, 16, 64, 256 rows", fontsize=9)
    axes[1].plot(1 / 8, decay, "s", color="C3")
    axes[1].text(1 / 8, decay / 3, "decay of a whole table", fontsize=9, color="C3")
    for (name, taken), colour in zip(step.items(), ("C1", "C0")):
        axes[1].axhline(operations / taken / 1e9, color=colour, ls=":", lw=1.2)
        axes[1].text(90, 1.1 * operations / taken / 1e9, f"whole step, {name}", color=colour, fontsize=9, ha="right")
    axes[1].set(xlabel="operations per byte", ylabel="billion operations a second", ylim=(None, 5 * peak), title="the roofline")

# %% [markdown]
# ## What people get wrong
# %%
print(f"1. timing the first call: {first_call:.2f} s of compiling for {1e3 * rungs['numba loops']:.2f} ms of work")
length = np.diff(batch.offsets)
padded = length.max() * 16 / N, length.max() ** 2 * 16 / (length**2).sum()
print(f"2. histories padded to the longest: {padded[0]:.1f} times the rows, {padded[1]:.1f} times the pairs")
one, double = np.ones((64, D), np.float32), np.ones((64, D))
print(f"3. a forgotten float64: {seconds(lambda: double @ double.T, 51) / seconds(lambda: one @ one.T, 51):.1f} times slower")

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 17`: attention in one pass over the keys; where a piece of work stands.
# %%
print("lesson 17 done: the same numbers on every rung; compile what Python would interrupt, and count bytes before you tune")
