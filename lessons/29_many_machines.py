# %% [markdown]
# # Lesson 29. Many machines, the same bits
#
# *Before it: lessons 14 (the gradient of the whole model) and 15 (descent on rows). About 30 minutes.*
#
# A log may be too large for one machine's patience. Then several processes share the work, on one machine or on many. Each
# computes the gradients of a part of the batch, they add up what they have, and all take the same step. This is called
# *synchronous data parallelism*, and `mpiexec -n 4 python -m atrank_np.train --shards 8` does it.
#
# Does the result depend on the number of processes? With most programs it does: not much, but each run on other machines is
# another run, and a fault is hard to find again. Here it does not, not in a single bit. This lesson shows why bits change, how
# they are kept, and what it costs. No process is started: a process is an entry of a list.
#
# ## What the words mean
#
# * A **rank** is one of the R processes, number 0 … R - 1. A **shard** is one of the S parts of a batch. Each rank computes
#   L = S / R shards: rank 0 the first L, and so on.
# * $g_s$ is the gradient of shard $s$: of its share of the batch's loss, so that $g = \sum_s g_s$.
# * `n` is how many numbers a gradient has. A float32 takes 4 bytes.

# %%
import numpy as np
from _common import figure

from atrank_np.backend import make_backend, total
from atrank_np.gradcheck import toy_problem
from atrank_np.layers.embedding import sum_rows

rng = np.random.default_rng(0)

# %% [markdown]
# ## Why a sum depends on its order
#
# A float32 has 24 binary digits. A sum is rounded to them, after **each** addition. With a pencil: 2²⁴ = 16,777,216 is the
# first number whose successor is no float32. So 16,777,216 + 1 is rounded back to 16,777,216, and this may happen twice. Add
# the two ones first, and they make 2, which fits.
# %%
big, one = np.float32(2**24), np.float32(1)
print(f"(big + 1) + 1 = {(big + one) + one:.0f}        big + (1 + 1) = {big + (one + one):.0f}")
assert (big + one) + one == big and big + (one + one) == big + 2

# %% [markdown]
# Gradients are no such extremes, and yet nearly every sum of eight of them depends on the order. We add the same eight
# gradients of 1,000 numbers in a hundred orders, and count different results for each number.
# %%
S, n = 8, 1000
gradients = rng.standard_normal((S, n)).astype(np.float32)


def add_in(order, parts):
    """The sum of the parts, one after another in this order."""
    found = parts[order[0]].copy()
    for s in order[1:]:
        found += parts[s]
    return found


sums = np.array([add_in(rng.permutation(S), gradients) for _ in range(100)])
different = np.array([len(np.unique(column)) for column in sums.T])
print(f"different sums of the same eight numbers: {different.mean():.1f} on average, at most {different.max()}")
assert (different > 1).mean() > 0.9

# %% [markdown]
# Each error is in the last digits. But training is a long way: the next gradient is taken at another point, and a few thousand
# steps later the two models differ in the third digit of their AUC. Nobody can say then whether a change came from an idea or
# from an order.
#
# ## What MPI's own sum does
#
# MPI has a sum over all ranks, `Allreduce`. A usual way to do it is the *ring*: cut the gradient into R pieces. Piece $p$ starts
# at rank $p$, goes round, and each rank adds its own. So each piece is added in another order, and the order depends on R.
# %%


def ring(parts):
    """Ranks with one gradient each: what `Allreduce` may give."""
    R = len(parts)
    pieces = [np.array_split(part, R) for part in parts]
    found = []
    for p in range(R):
        order = [(p + i) % R for i in range(R)]
        found.append(add_in(order, [piece[p] for piece in pieces]))
    return np.concatenate(found)


def of_rank(R):
    """Each rank adds its own shards, then the ring adds the ranks."""
    L = S // R
    return ring([add_in(range(r * L, (r + 1) * L), gradients) for r in range(R)])


one_process = add_in(range(S), gradients)
for R in (1, 2, 4, 8):
    print(f"{R} ranks and a ring: {np.mean(of_rank(R) != one_process):4.0%} of the numbers differ from one process")
assert np.array_equal(of_rank(1), one_process) and (of_rank(4) != one_process).mean() > 0.3

# %% [markdown]
# ## The order of the shards
#
# The remedy is a rule: **the sum is that over the shards, in the order of their numbers**. It does not say who computes a
# shard. So the user chooses S once, and any R that divides it gives the same bits. The price: a rank must not add its shards
# before it sends them, since $(g_0 + g_1) + (g_2 + g_3)$ is another order than $((g_0 + g_1) + g_2) + g_3$.
#
# First the simple way: everybody sends everything to everybody, and each rank adds all of it.
# %%


def everything(ranks):
    """ranks: for each rank its gradients [L,n]. -> the sum, and how many numbers a rank receives."""
    shards = np.concatenate(ranks)
    received = len(shards) - len(ranks[0])
    return add_in(range(len(shards)), shards), received * shards.shape[1]


# %% [markdown]
# It works, but a rank receives (S - L) n numbers: with 64 shards of 1 MB that is 63 MB in each step. Better: **each rank adds
# one piece of the n numbers, for all**. It gets this piece of all shards, L n numbers in all. Then each sends the sum of its
# piece to the others, n numbers. The order stays that of the shards, since a piece is added number by number.
# %%


def in_pieces(ranks):
    """The same, each rank adding a piece; as `mpi.Ranks.add`."""
    shards, R = np.concatenate(ranks), len(ranks)
    n = shards.shape[1]
    bounds = n * np.arange(R + 1) // R
    found = []
    for r in range(R):
        piece = shards[:, bounds[r] : bounds[r + 1]]
        found.append(add_in(range(len(shards)), piece))
    return np.concatenate(found), len(ranks[0]) * n + n


for R in (1, 2, 4, 8):
    ranks = np.split(gradients, R)
    whole, most = everything(ranks)
    found, fewer = in_pieces(ranks)
    assert np.array_equal(whole, one_process) and np.array_equal(found, one_process)
    print(f"{R} ranks: the bits of one process; a rank receives {most:5} numbers, or in pieces {fewer:5}")

# %% [markdown]
# In pieces, a rank receives (L + 1) n numbers. With L = 1 that is 2n, as with a ring, whatever the number of ranks.
#
# ## The rows of a table
#
# A table's gradient has a row for each place where an id stands. SGD subtracts them one by one. So there is nothing to add:
# the ranks send their rows, each rank puts them one behind another in the order of shards, and goes on as one process would.
# Whoever adds up the rows of an id **first**, shard by shard, rounds at other places.
# %%
ids, rows = rng.integers(0, 5, 40), rng.standard_normal((40, 3)).astype(np.float32)
start = rng.standard_normal((5, 3)).astype(np.float32)


def descend(batches):
    """One step: the rows of each part of the batch, in order."""
    w = start.copy()
    for part_ids, part_rows in batches:
        for i, row in zip(part_ids, part_rows):
            w[i] -= np.float32(0.1) * row
    return w


alone = descend([(ids, rows)])
by_shard = descend(zip(np.split(ids, 4), np.split(rows, 4)))
added_first = descend([sum_rows(part, own) for part, own in zip(np.split(ids, 4), np.split(rows, 4))])
print(f"rows one behind another: {np.sum(by_shard != alone)} of 15 numbers differ; added first: {np.sum(added_first != alone)}")
assert np.array_equal(by_shard, alone) and not np.array_equal(added_first, alone)

# %% [markdown]
# ## The package
#
# With NumPy, `backend.gradients` cuts a batch into `shards` parts and adds theirs with `total`. We let four "ranks" compute one
# shard each, in any order of time, and add in the order of shards.
# %%
problem = toy_problem(np.random.default_rng(1), shards=4, backend="numpy")
backend = make_backend(problem.model, problem.params, problem.config)
_, expected = backend.gradients(problem.batch)
B, T = len(problem.batch.user), len(problem.batch.label)
shards = list(problem.batch.cut(-(-B // 4)))
by_rank = {}
for r in rng.permutation(len(shards)):  # who is ready first
    share = len(shards[r].label) / T
    scores, cache = problem.model.forward(problem.params, shards[r], backend.table_scale)
    slope = (1 / (1 + np.exp(-scores)) - shards[r].label) / len(shards[r].label)
    by_rank[r] = problem.model.backward(slope * share, cache)
found = total([by_rank[r] for r in range(len(shards))])
error = max(np.abs(found[name] - expected[name]).max() for name in expected if isinstance(expected[name], np.ndarray))
print(f"{len(shards)} shards of {B} histories: the gradients of `backend.gradients`, up to {error:.0e}")
assert error < 1e-12

# %% [markdown]
# ## What it costs
#
# A step of b targets takes, on R machines of c cores,
#
# $$ \underbrace{\frac{b\,t}{R\,c}}_{shared} + \underbrace{b\,u}_{by\ every\ rank} + \underbrace{\frac{bytes}{bandwidth}}_{sent} +
#    \underbrace{latency \cdot \log_2 R}_{waiting} $$
#
# `t` is the time of a target forward and backward, on one core. `u` is what each rank does for **every** target of the batch:
# packing it, and the rows of tables. That second term does not shrink. It is Amdahl's law: with u = 1 µs, no number of machines
# makes more than a million targets a second. Nor does the third: a target has some 2,500 bytes of rows, and every rank gets all
# of them. 10 Gbit/s carry them in 2 µs. With t = 40 µs, 16 cores compute a target in 2.5 µs, so there the network is as busy as
# the cores. `python -m atrank_np.bench --only mpi` measures these numbers on your machine. Those below are round ones.
# %%
NETWORKS = {"10 Gbit/s": (1.25e9, 250e-6), "100 Gbit/s": (12.5e9, 25e-6)}  # bytes a second, seconds of all exchanges together


def rate(b, R, network, pieces=1, u=1e-6, t=40e-6, cores=16):
    """Targets a second. pieces: see below."""
    bandwidth, latency = NETWORKS[network]
    computed, rows = b * t / (R * cores), (R > 1) * 2500 * b / bandwidth
    meanwhile = (pieces - 1) * max(computed, rows) / pieces
    dense = (R > 1) * (cores + 1) * 1e6 / bandwidth
    return b / (computed / pieces + meanwhile + rows / pieces + b * u + dense + latency * np.log2(R))


machines = 2 ** np.arange(7)
for network in NETWORKS:
    for b in (1024, 262144):
        line = [rate(b, R, network) / rate(b, 1, network) for R in machines]
        print(f"{network}, batch {b:7,}: " + ", ".join(f"{R}: {times:.1f} x" for R, times in zip(machines, line)))
assert rate(1024, 2, "10 Gbit/s") < rate(1024, 1, "10 Gbit/s") and rate(262144, 64, "100 Gbit/s") < 1e6

# %% [markdown]
# So a batch of 1,024 is slower on two machines than on one, and more machines pay with large batches and a fast network alone.
#
# ## Sending while computing
#
# The network waits for the cores, and then the cores for the network. But the rows of a history are final as soon as that
# history has gone forward and backward. So cut the batch into pieces, and send a piece while the next one is computed. Only the
# first piece is computed with an idle network, and only the last one is sent with idle cores. Between them a piece takes
# the longer one of both times. No bit changes: rows go to the place that the order of shards gives them, whenever they come.
# %%
for R in (2, 4, 16):
    gains = [rate(262144, R, network, pieces=8) / rate(262144, R, network) for network in NETWORKS]
    print(f"{R:2} machines, in 8 pieces: " + ", ".join(f"{network} {gain:.2f} x" for network, gain in zip(NETWORKS, gains)))
assert rate(262144, 2, "10 Gbit/s", pieces=8) > 1.3 * rate(262144, 2, "10 Gbit/s")

# %% [markdown]
# It pays where both times are alike: at most the shorter one can hide behind the longer one. The dense gradients are complete
# only after the last history, so they are sent at the end.
#
# Much larger batches mean fewer steps, each of which must do more: a higher learning rate, and an AUC that validation has to
# confirm.
#
# ## The picture
#
# Left: how many different sums the same eight numbers have. Right: how many times as fast as one machine R machines are, by the
# model above.
# %%
with figure("29_many_machines", columns=2, size=(11, 4)) as (fig, axes):
    left, right = axes
    left.hist(different, bins=np.arange(0.5, different.max() + 1.5), rwidth=0.8)
    left.set(title="100 orders of the same eight numbers", xlabel="different sums", ylabel="numbers of the gradient")
    for network in NETWORKS:
        for b in (16384, 262144):
            line = [rate(b, R, network) / rate(b, 1, network) for R in machines]
            right.loglog(machines, line, "o-", label=f"{network}, batch {b:,}")
    right.loglog(machines, machines, "k:", label="perfect")
    right.set(title="a model of the step", xlabel="machines of 16 cores", ylabel="times as fast as one")
    right.legend(fontsize=9)

# %% [markdown]
# ## What people get wrong
#
# 1. **The mean of means.** Shards have different numbers of targets. The batch's gradient is the sum of $g_s$, each with its
#    own share of the batch. The plain mean of the shards' means is another number.
# 2. **Random numbers by rank.** If each rank draws its own negatives or dropout masks from a stream of its own, the result
#    depends on R. Here they are functions of the seed, the step and the place in the batch (lesson 11).
# 3. **Decisions by one rank.** If rank 0 alone finds that it is time to stop, the others wait for ever. What is decided must
#    be computed from numbers that are equal on all, or be exchanged.
# %%
means, counts = np.array([1.0, 4.0]), np.array([3, 1])
print(f"1. mean of means {means.mean()}, mean of all {(means * counts).sum() / counts.sum()}")
assert (means * counts).sum() / counts.sum() == 1.75

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 29` (from the repository's root). First the mean over uneven shards. Then the norm of a
# gradient of which each rank has a piece: with the same bits, whatever the number of ranks.
# %%
print("lesson 29 done: a sum in the order of shards has the same bits, whoever computed them")
