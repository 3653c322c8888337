# %% [markdown]
# # Lesson 17. From Python to the machine: one layer, five times
#
# *Before it: lessons 09 (attention) and 10 (layer norm). About 50 minutes. The first run compiles for about a minute; later
# runs find most of it in a cache, and take some 10 seconds.*
#
# A training step of a small batch is some 100 million multiplications and additions. In plain Python they take seconds, in the
# package about a millisecond. This lesson goes the whole way with one layer, the layer norm, and every loop stands here: Python
# loops, NumPy, compiled loops, sums in lanes, and the package's way to write a kernel. Then the same for attention, where the
# order of the numbers in memory decides.
#
# All versions give the same numbers. The NumPy version is the definition; a fast version that is not equal to it is not fast,
# it is wrong. The times are printed and not asserted, because they are those of your machine, and of what else it does.
#
# **Conventions.** Arrays are float32, 4 bytes a number, as in training. `relative_error(A, B)` is the largest difference
# divided by the largest entry. All versions use one thread, so that the comparison is fair. There is no gradient in this
# lesson.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported
import inspect
import time

import numpy as np
from _common import figure
from numba import njit

from atrank_np.backend import NumpyBackend, make_backend
from atrank_np.gradcheck import dense, random_batch, relative_error, toy_problem
from atrank_np.kernels import attention as attention_kernels
from atrank_np.kernels import feedforward as feedforward_kernels
from atrank_np.kernels.jit import kernel
from atrank_np.kernels.layout import SpaceOrder, aligned
from atrank_np.kernels.packed import ready
from atrank_np.kernels.simd import columns, exp, maximum, total, zeros
from atrank_np.layers.attention import attend_backward, attend_forward
from atrank_np.layers.feedforward import EPSILON, layer_norm_forward
from atrank_np.layers.perceptron import relu_forward


# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# A core of today runs at about 3 billion ticks a second. In one tick it can add not one pair of numbers but 8 or 16, if they
# lie side by side in memory and none of them waits for another's result. So the 128 numbers of a row need 8 to 16 ticks for an
# addition: 5 nanoseconds.
#
# Python needs some 30 to 50 nanoseconds for one addition of two numbers, 100 ticks and more: it looks up names, checks types,
# and makes an object of the result. That is 1,000 times as much for the row. Where does the factor go, and which part comes
# back at which step?
#
# And there is a second limit. Memory brings some 10 billion bytes a second to the core, 3 bytes in a tick. A number that comes
# from memory, is added to once, and goes back, moves 8 bytes: 3 ticks. The core could have added 30 or more numbers meanwhile.
# So what matters is how often the same numbers are moved.
# %%
def seconds(work, repeats=51):
    """The shortest time of some calls. process_time does not count what other programs do meanwhile."""
    work()  # the first call may compile
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


a, b = 1.5, 2.5


def thousand_additions():
    for _ in range(1000):
        a + b


addition = seconds(thousand_additions) / 1000
print(f"Python: {1e9 * addition:.0f} ns for one addition")
row, other, result = np.ones((3, 128), np.float32)
print(f"NumPy: {1e9 * seconds(lambda: np.add(row, other, out=result), 201):.0f} ns for 128 additions, most of it for the call")

# %% [markdown]
# ## Version 1: Python loops
#
# The layer norm of $N$ rows of $D$ numbers, as in lesson 10:
#
# $$ y_{ij} = g_j\, \frac{x_{ij} - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}} + b_j \qquad
#    \mu_i = \frac1D \sum_j x_{ij} \qquad \sigma_i^2 = \frac1D \sum_j (x_{ij} - \mu_i)^2 $$
# %%
N, D = 64, 128
rng = np.random.default_rng(17)
x = aligned((N, D), np.float32)  # zeros that begin on a cache line
y = aligned((N, D), np.float32)
x[...] = rng.standard_normal((N, D))
gain = (1 + 0.5 * rng.standard_normal(D)).astype(np.float32)
bias = rng.standard_normal(D).astype(np.float32)
TINY = np.float32(EPSILON)


def layer_norm_loops(x, gain, bias, y):  # [N,D], [D], [D] -> [N,D]
    N, D = x.shape
    share = np.float32(1 / D)
    for i in range(N):
        mean = np.float32(0)
        for j in range(D):
            mean += x[i, j] * share
        variance = np.float32(0)
        for j in range(D):
            away = x[i, j] - mean
            variance += away * away * share
        rstd = np.float32(1) / np.sqrt(variance + TINY)
        for j in range(D):
            y[i, j] = (x[i, j] - mean) * rstd * gain[j] + bias[j]


# %% [markdown]
# ## Version 2: NumPy
#
# The definition, `layers.feedforward.layer_norm_forward`. Each line is a loop over all $N D$ numbers, but a compiled one. Two
# costs remain. Every operation is a call, about a microsecond, however small the array. And every operation writes its result
# to memory, and the next one reads it again: some ten passes over the array.
# %%
expected, _ = layer_norm_forward(x, gain, bias)
print(inspect.getsource(layer_norm_forward))

# %% [markdown]
# ## Version 3: the same loops, compiled
#
# numba translates a Python function to machine code when it is called first. `njit(layer_norm_loops)` is version 1, not one
# letter changed. Names, types and objects are gone; the three loops of a row run while the row is in the fastest part of the
# cache.
#
# But look at `mean += …`: each addition needs the result of the one before, and an addition takes about 4 ticks. 128 of them
# in a chain are 500 ticks. The core could do 8 or 16 at once, but it must not: another order of additions rounds differently,
# and a compiler does not change results.
# %%
layer_norm_compiled = njit(layer_norm_loops)

# %% [markdown]
# ## Version 4: sums in lanes
#
# So we write another order ourselves: 16 sums side by side. Lane $m$ adds the numbers $m$, $m + 16$, $m + 32$ … No lane waits
# for another one, and the 16 numbers that are added at a time lie side by side. At the end the 16 sums are added up. The
# rounding is a little different from version 3: both are right to the last digits.
# %%
LANES = 16


def layer_norm_lanes(x, gain, bias, y):  # [N,D], [D], [D] -> [N,D]; D a multiple of 16
    N, D = x.shape
    share = np.float32(1 / D)
    lanes = np.zeros(LANES, np.float32)
    for i in range(N):
        lanes[:] = 0
        for j in range(0, D, LANES):
            for m in range(LANES):
                lanes[m] += x[i, j + m]
        mean = lanes.sum() * share
        lanes[:] = 0
        for j in range(0, D, LANES):
            for m in range(LANES):
                away = x[i, j + m] - mean
                lanes[m] += away * away
        rstd = np.float32(1) / np.sqrt(lanes.sum() * share + TINY)
        for j in range(D):
            y[i, j] = (x[i, j] - mean) * rstd * gain[j] + bias[j]


layer_norm_in_lanes = njit(layer_norm_lanes)


# %% [markdown]
# ## Version 5: a row is a value
#
# Version 4 is ugly, and the machine can do better. The package has a type for what we mean. In a kernel `x[i]` is a
# **Vector**: the whole row of $D$ numbers as one value, which `+`, `-` and `*` take whole. $D$ is known when the kernel is
# compiled, so the row becomes 8 to 32 registers of the machine, whatever machine it is. `total(z)` is the sum of a row, in
# lanes, in an order that is written down.
#
# What is left reads like the formula. `@kernel` compiles it, and `ready` packs the arrays so that compiled code gets one
# address.
# %%
@kernel
def layer_norm_vectors(x, gain, bias, y):  # [N,D], [1,D], [1,D] -> [N,D]
    share = 1 / columns(x)
    for i in range(len(x)):
        away = x[i] - total(x[i]) * share
        rstd = 1 / np.sqrt(total(away * away) * share + EPSILON)
        y[i] = away * rstd * gain[0] + bias[0]


as_kernel = ready(layer_norm_vectors, x, gain[None], bias[None], y)

# %% [markdown]
# ## All five
#
# First equality, then time. A number of the array takes 7 operations: one for the sum, one for the distance from the mean, two
# for square and sum, one for rstd, two for gain and bias.
# %%
VERSIONS = {
    "1 Python loops": lambda: layer_norm_loops(x, gain, bias, y),
    "2 NumPy": lambda: layer_norm_forward(x, gain, bias),
    "3 numba, same loops": lambda: layer_norm_compiled(x, gain, bias, y),
    "4 sums in lanes": lambda: layer_norm_in_lanes(x, gain, bias, y),
    "5 rows as vectors": as_kernel,
}
taken = {}
for name, run in VERSIONS.items():
    if not name.startswith("2"):
        y[...] = 0
        run()
        assert relative_error(y, expected) < 1e-5, name
    taken[name] = seconds(run, 5 if name.startswith("1") else 201)
    per_number = 1e9 * taken[name] / (N * D)
    print(f"{name:20} {per_number:10.2f} ns a number, {taken['1 Python loops'] / taken[name]:8.0f} times as fast as version 1")


# %% [markdown]
# ## The roofline: how fast could it be?
#
# Count the bytes. The layer norm must read $x$ and write $y$ once: 8 bytes a number, for 7 operations. The quotient is the
# **intensity**: 7/8 operations a byte. A core can do at most `peak` operations a second, and memory can move at most `stream`
# bytes a second. So work of intensity $I$ can never run faster than
#
# $$ \min(peak,\; I · stream) $$
#
# Drawn over $I$ this is a slope, then a flat part: a roof. Under the flat part better code helps. At the slope only fewer
# bytes do.
#
# A product of $N$ rows with a $D × D$ matrix does $2 N D^2$ operations on $4 (2 N D + D^2)$ bytes. For $N = 1$ that is nearly ½
# operation a byte, for $N = 64$ it is 16: each number of the matrix serves 64 rows. That is why the package puts the rows of
# many histories into one product. And shrinking a whole table is one operation for 8 bytes, ⅛, whatever one does: that is why
# lesson 15 avoids it.
# %%
def intensity(rows):
    return 2 * rows * D * D / (4 * (2 * rows * D + D * D))


assert intensity(64) == 16 and round(intensity(1), 2) == 0.49
matrix = rng.standard_normal((D, D)).astype(np.float32)
products = {}  # rows -> billion operations a second
for rows in (1, 4, 16, 64, 256):
    left = rng.standard_normal((rows, D)).astype(np.float32)
    out = np.empty((rows, D), np.float32)
    products[rows] = 2 * rows * D * D / seconds(lambda left=left, out=out: np.matmul(left, matrix, out=out), 101) / 1e9
table = np.ones(8_000_000, np.float32)  # 32 MB: does not fit into the cache
shrinking = len(table) / seconds(lambda: np.multiply(table, np.float32(0.999), out=table), 9) / 1e9
peak, stream = max(products.values()), 8 * shrinking
print(f"this core: peak about {peak:.0f} billion operations a second, stream {stream:.1f} billion bytes a second")

# %% [markdown]
# Our 64 rows are 32 KB, they stay in the cache, so they may stand above the slope. Now 65,536 rows, 32 MB: everything comes
# from memory. The kernel moves 8 bytes a number. NumPy moves the array some ten times.
# %%
MANY = 65_536
big_x, big_y = aligned((MANY, D), np.float32), aligned((MANY, D), np.float32)
big_x[...] = np.tile(x, (MANY // N, 1))
big_kernel = ready(layer_norm_vectors, big_x, gain[None], bias[None], big_y)
from_memory = {
    "NumPy": seconds(lambda: layer_norm_forward(big_x, gain, bias), 3),
    "kernel": seconds(big_kernel, 5),
}
assert relative_error(big_y[-N:], expected) < 1e-5
for name, time_taken in from_memory.items():
    print(f"{MANY} rows, {name:6}: {1e9 * time_taken / (MANY * D):.2f} ns a number")
print(f"the roof: {8 / stream:.2f} ns a number")

# %% [markdown]
# ## The door to the package's kernels
#
# Now you can read `atrank_np/kernels`. Begin with this one, the relu of a perceptron; all others are written like it:
# %%
print(inspect.getsource(feedforward_kernels.relu_forward))
shift = rng.standard_normal((1, D)).astype(np.float32)
relu_expected, _ = relu_forward(x + shift)
in_place = aligned((N, D), np.float32)
in_place[...] = x
run_once = ready(feedforward_kernels.relu_forward, in_place, shift)
run_once()
assert (in_place == relu_expected).all()

# %% [markdown]
# `x` is an array of rows, `b` has one row. `x[i] = maximum(x[i] + bias, zero)` adds the bias to a whole row and takes the
# maximum with zero. The result stands where the input stood, because the input is not needed again. The package's own layer
# norm is our version 5 with three additions: it takes the residual connection's sum first, keeps `normed` and `rstd` for the
# backward pass, and numbers its lines as the NumPy version does.
# %%
print(inspect.getsource(feedforward_kernels.layer_norm_forward))

# %% [markdown]
# ## Attention: the order of the numbers
#
# For a history of $n$ behaviours, in every space $k$ with its $d = D/K$ columns:
#
# $$ c_i = \sum_j a_{ij}\, v_j \qquad a_{i\cdot} = \mathrm{softmax}(q_i \cdot k_1, \dots, q_i \cdot k_n) \qquad (3)–(5) $$
#
# Rung 1 is NumPy's `attend_forward`. Rung 2 are the loops of the formula, compiled: space after space.
# %%
K, n = 8, 24
d = D // K
query, key, value, dc = (0.3 * rng.standard_normal((4, n, D))).astype(np.float32)
whole = np.array([0, n])  # one history


def attend_space_after_space(query, key, value, weight, c):  # [n,D] three times, [n] room -> [n,D]
    for k in range(K):
        for i in range(n):
            highest = np.float32(-np.inf)
            for j in range(n):
                score = np.float32(0)
                for m in range(k * d, (k + 1) * d):
                    score += query[i, m] * key[j, m]  # a chain of d = 16 additions
                weight[j] = score
                highest = max(highest, score)
            z = np.float32(0)
            for j in range(n):
                weight[j] = np.exp(weight[j] - highest)
                z += weight[j]
            for j in range(n):
                weight[j] = weight[j] / z
            for m in range(k * d, (k + 1) * d):
                mean = np.float32(0)
                for j in range(n):
                    mean += weight[j] * value[j, m]
                c[i, m] = mean


# %% [markdown]
# The score is a sum over 16 numbers that must end as one number: a chain again. But the 8 spaces do not wait for each other. If
# number $m$ of all 8 spaces lay side by side, 8 chains could run at once, and so could 8 softmaxes.
#
# So **rung 3** reorders the columns: number $m$ of space $k$ goes from column $k d + m$ to column $m K + k$. The space index is
# innermost. In the model this happens once, when the parameters are loaded (`SpaceOrder`), and no formula changes. Now we cut
# each row of $D$ numbers into $d$ short rows of $K$ numbers, and each short row is a Vector: one number of all spaces. Then
# the loops are those of rung 2 without the loop over $k$.
# %%
order = SpaceOrder(D, K)
assert order.columns[K + 3] == 3 * d + 1  # the new column m K + k is the old k d + m; here m = 1, k = 3


@kernel
def attend_spaces_side_by_side(query, key, value, weight, c):  # [n d, K] three times, [n,K] room -> [n d, K]
    n, d = len(weight), len(query) // len(weight)
    for i in range(n):
        highest = zeros(weight) + -np.inf
        for j in range(n):
            score = zeros(weight)
            for m in range(d):
                score = score + query[i * d + m] * key[j * d + m]  # of all K spaces
            weight[j] = score
            highest = maximum(score, highest)
        z = zeros(weight)
        for j in range(n):
            weight[j] = exp(weight[j] - highest)
            z = z + weight[j]
        for j in range(n):
            weight[j] = weight[j] / z
        for m in range(d):
            mean = zeros(weight)
            for j in range(n):
                mean = mean + weight[j] * value[j * d + m]
            c[i * d + m] = mean


query_t, key_t, value_t, dc_t = (aligned((n, D), np.float32) for _ in range(4))
for theirs, ours in zip((query_t, key_t, value_t, dc_t), (query, key, value, dc), strict=True):
    theirs[...] = ours[:, order.columns]

# %% [markdown]
# **Rung 4** is the package's kernel, `kernels.attention.attend_forward`, in the same order of columns. One thing is new:
# queries go in pairs, because a key or value that was loaded once can serve two. It gets what it reads (`Operands`: query,
# key, value), whether to keep the weights for the backward pass, room for them, and where to write.
# %%
c2, c3, c4 = (aligned((n, D), np.float32) for _ in range(3))
room2, room3 = np.zeros(n, np.float32), aligned((n, K), np.float32)
pair_weights = aligned(((n + 1) // 2 * n, 2 * K), np.float32)
short = (n * d, K)  # the same memory, seen as short rows
rung2 = njit(attend_space_after_space)
rung3 = ready(
    attend_spaces_side_by_side, query_t.reshape(short), key_t.reshape(short), value_t.reshape(short), room3, c3.reshape(short)
)
operands = attention_kernels.Operands(query_t, key_t, value_t)
rung4 = ready(attention_kernels.attend_forward, operands, 1, pair_weights, c4)

c1, cache = attend_forward(query, key, value, whole, whole, K)
rung2(query, key, value, room2, c2)
rung3()
rung4()
assert relative_error(c2, c1) < 1e-5
assert relative_error(c3[:, order.inverse], c1) < 1e-5
assert relative_error(c4[:, order.inverse], c1) < 1e-5

RUNGS = {
    "1 NumPy": lambda: attend_forward(query, key, value, whole, whole, K),
    "2 space after space": lambda: rung2(query, key, value, room2, c2),
    "3 spaces side by side": rung3,
    "4 the kernel": rung4,
}
attention_taken = {}
for name, run in RUNGS.items():
    attention_taken[name] = seconds(run, 201)
    print(f"rung {name:22} {1e9 * attention_taken[name] / n**2:7.1f} ns for a pair (i, j), in all 8 spaces")

# %% [markdown]
# The backward kernel must be equal too, or the rung does not count. Its gradients:
# %%
gradients = attention_kernels.Operands(*(aligned((n, D), np.float32) for _ in range(3)))
dscore = aligned((n, 2 * K), np.float32)
backward = ready(attention_kernels.attend_backward, dc_t, operands, 1, pair_weights, dscore, gradients)
backward()
for theirs, ours in zip(gradients, attend_backward(dc, cache), strict=True):
    assert relative_error(theirs[:, order.inverse], ours) < 1e-5

# %% [markdown]
# ## The compiled step
#
# A training step has about forty products and many small loops between them. Called one by one from Python, each would cost its
# call, and passes over memory. So the package compiles the whole step: one call from Python. Same batch, same parameters, same
# gradients, to the rounding of float32:
# %%
model, params, _, _, config = toy_problem(rng, width=D, spaces=K, shards=1, threads=1, backend="numba")
params = model.init(0)
lengths = rng.integers(1, 16, size=16).tolist()
batch = random_batch(rng, model.space.groups, lengths, [2] * 16)
copies = {name: w.copy() for name, w in params.items()}
slow = NumpyBackend(model, copies, config)
fast = make_backend(model, params, config)
compile_seconds = fast.warm_up(batch)
loss, slow_gradients = slow.gradients(batch)
fast_loss, fast_gradients = fast.gradients(batch)


def flat(gradients):
    return np.concatenate([dense(gradients[name], params[name].shape).ravel() for name in params])


assert abs(loss - fast_loss) < 1e-6
assert relative_error(flat(fast_gradients), flat(slow_gradients)) < 1e-5
step = {
    "NumPy": seconds(lambda: slow.train_step(batch, 0.1), 15),
    "compiled": seconds(lambda: fast.train_step(batch, 0.1), 51),
}
behaviours, targets = len(batch.object), len(batch.label)
operations = 3 * 2 * D * D * (7 * behaviours + 3 * targets)  # the D × D products: one forward, two backward
print(f"{operations / 1e6:.0f} million operations; in Python, at {1e9 * addition:.0f} ns each, {operations * addition:.0f} s")
print(f"a step of {behaviours} behaviours and {targets} targets; compiling, or loading from the cache: {compile_seconds:.1f} s")
for name, time_taken in step.items():
    print(f"    {name:9} {1e3 * time_taken:6.2f} ms")

# %% [markdown]
# ## The picture
#
# Left: the five versions of the layer norm. Middle: the four rungs of attention. Right: the roof of this core. Crosses are
# products of 1 to 256 rows: more rows, more operations a byte. The dots are layer norms: 64 rows in the cache, and 65,536 rows
# from memory, which cannot be above the slope. All times are those of this run.
# %%
COLOURS = ("0.6", "C1", "C2", "C4", "C0")
with figure("17_ladder", columns=3, size=(15, 4.4)) as (fig, axes):
    names = list(taken)[::-1]
    times = [1e9 * taken[name] / (N * D) for name in names]
    bars = axes[0].barh(names, times, color=COLOURS[::-1])
    axes[0].bar_label(bars, [f"{t:,.2f}" if t < 100 else f"{t:,.0f}" for t in times], padding=3)
    axes[0].set(xscale="log", xlim=(min(times) / 3, max(times) * 30), xlabel="ns for one number", title="layer norm")
    names = list(attention_taken)[::-1]
    times = [1e9 * attention_taken[name] / n**2 for name in names]
    bars = axes[1].barh(names, times, color=("C0", "C4", "C2", "C1"))
    axes[1].bar_label(bars, [f"{t:,.0f}" for t in times], padding=3)
    axes[1].set(xlim=(0, 1.25 * max(times)), xlabel="ns for one pair (i, j)", title=f"attention of one history, n = {n}")
    roof = np.geomspace(0.06, 100, 100)
    axes[2].loglog(roof, np.minimum(peak, roof * stream), "k", lw=1.5)
    axes[2].plot([intensity(rows) for rows in products], products.values(), "kx", label="products of 1, 4, 16, 64, 256 rows")
    dots = (("NumPy, cache", taken["2 NumPy"], N, "C1", "o"), ("kernel, cache", taken["5 rows as vectors"], N, "C0", "o"))
    dots += (("NumPy, memory", from_memory["NumPy"], MANY, "C1", "s"), ("kernel, memory", from_memory["kernel"], MANY, "C0", "s"))
    for words, time_taken, rows, colour, marker in dots:
        speed = 7 * rows * D / time_taken / 1e9
        axes[2].plot(7 / 8, speed, marker, color=colour, label=f"layer norm, {words}")
    axes[2].plot(1 / 8, shrinking, "^", color="C3", label="shrinking a table")
    axes[2].set(xlabel="operations a byte", ylabel="billion operations a second", title="the roofline of this core")
    axes[2].set(ylim=(0.02, 200 * peak))
    axes[2].legend(fontsize=8, loc="upper left")

# %% [markdown]
# ## What people get wrong
# %%
fresh = njit(lambda x: x + 1)  # 1. timing the first call
begin = time.perf_counter()
fresh(1.0)
first = time.perf_counter() - begin
print(f"1. the first call compiles: {1e3 * first:.0f} ms, the second takes {1e9 * seconds(lambda: fresh(1.0)):.0f} ns")

long = int(np.diff(batch.offsets).max())  # 2. histories padded to the longest
pairs = int((np.diff(batch.offsets) ** 2).sum())
print(f"2. padded to the longest: {16 * long / behaviours:.1f} times the rows, {16 * long**2 / pairs:.1f} times the pairs")
assert 16 * long > behaviours and 16 * long**2 > pairs

one, double = np.ones((64, D), np.float32), np.ones((64, D))  # 3. a forgotten float64: twice the bytes, half the lanes
ratio = seconds(lambda: double @ matrix, 51) / seconds(lambda: one @ matrix, 51)
print(f"3. one float64 array in a product of float32: {ratio:.1f} times the time, in this run")
assert (double @ matrix).dtype == np.float64

order_a = np.float32(1e8) + np.float32(1) - np.float32(1e8)  # 4. sums in another order are other sums
order_b = np.float32(1e8) - np.float32(1e8) + np.float32(1)
print(f"4. 1e8 + 1 - 1e8 = {order_a}, 1e8 - 1e8 + 1 = {order_b}: compare with a tolerance, and fix the order where bits count")
assert order_a == 0 and order_b == 1

# %% [markdown]
# ## Your turn
#
# Attention for very long histories: one pass over the keys and values, with no list of scores. The softmax needs the highest
# score before it begins, or so it seems. Then bytes and operations of a product. `python -m lessons.exercises check 17` (from
# the repository's root).
#
# How to go on: the docstring of `atrank_np/kernels/__init__.py` names the modules in the order in which they call each other,
# and every trick with the line that switches it off.
# %%
print("lesson 17 done: the same numbers in every version; no chains, numbers side by side, and few bytes moved")
