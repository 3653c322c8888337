# %% [markdown]
# # Lesson 15. Descent: SGD, decay, L2 on sparse rows, and a start that does not explode
#
# *Before it: lessons 03 (embedding rows), 10 (layer norm), 13 (the loss), 14. About 30 minutes.*
#
# All gradients are there; now a step. The paper: SGD, rate 1.0 with exponential decay 0.1, L2 weight $\lambda = 5·10^{-5}$.
# At step $t$ of $n$ the rate is $lr_t = lr · 0.1^{t/n}$. The objective is the loss plus a price for large weights, and so
#
# $$ J = L + \frac{\lambda}{2} \lVert w \rVert^2 \qquad dJ = g + \lambda w $$
# $$ w \leftarrow w - lr\,(g + \lambda w) = (1 - lr\,\lambda)\, w - lr\, g $$
#
# with $g = dL$. Every weight shrinks a little in every step, **also the row of an item that this batch has not seen**.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: small products lose by more threads
import time

import numpy as np
from _common import figure, scoreboard

from atrank_np.backend import NumpyBackend
from atrank_np.config import Config
from atrank_np.gradcheck import random_batch, relative_error, toy_problem
from atrank_np.layers.embedding import sum_rows
from atrank_np.layers.ranking import pointwise_forward, sigmoid
from atrank_np.optimizer import FOLD, SGD, learning_rate, unscaled

rng = np.random.default_rng(15)
w, target, lam = rng.standard_normal((5, 3)), rng.standard_normal((5, 3)), 0.3
L = lambda w: 0.5 * ((w - target) ** 2).sum()
square, g = w * w, w - target
assert scoreboard(
    ("w² (L2 term)", np.full_like(w, lam / 2), square, lambda square: L(w) + lam / 2 * square.sum()),
    ("w", g + lam * w, w, lambda w: L(w) + lam / 2 * (w * w).sum()),  # w has two uses: the loss, and its own price
)
rates = [learning_rate(Config(), step, 1000) for step in (0, 500, 1000)]
print(f"the package's rate (0.5, not 1.0) at the start, half way, at the end: {rates[0]:.3f}, {rates[1]:.3f}, {rates[2]:.3f}")
assert np.allclose(rates, [0.5, 0.5 * 0.1**0.5, 0.05])


# %% [markdown]
# ## The slow version: the whole table, every step
# %%
def step_dense(table, ids, values, rate, l2):  # [V,E], [N], [N,E] -> [V,E]
    g = np.zeros_like(table)
    for i, value in zip(ids, values):
        g[i] += value
    return (1 - rate * l2) * table - rate * g


# %% [markdown]
# With 63,001 items that is 4 million multiplications, to change 50 rows. The trick: store the table divided by a number $s$, so
# that the true table is $w = s\,v$. Put it into the step, with $s' = (1 - lr\,\lambda)\, s$:
#
# $$ s' v' = (1 - lr\,\lambda)\, s v - lr\, g = s' v - lr\, g \quad\Rightarrow\quad v' = v - \frac{lr}{s'}\, g $$
#
# Where $g$ is 0, $v$ stays as it is: **only the rows of the batch are written, and all rows decay, exactly.** The gradient is by
# $w$, so the forward pass multiplies the rows that it reads by $s$. The package calls $s$ the `table_scale`.
# %%
V, E, l2, steps = 40, 4, 0.01, FOLD + 500
dense_table = rng.standard_normal((V, E))
stored = {"table.item": dense_table.copy()}
sgd = SGD()
for _ in range(steps):
    ids = rng.integers(V, size=6)  # with repeats: the package sums them first
    values = dense_table[ids] * 0.02 + rng.standard_normal((6, E))
    dense_table = step_dense(dense_table, ids, values, 0.05, l2)
    sgd.apply(stored, {"table.item": sum_rows(ids, values)}, 0.05, l2)
error = relative_error(unscaled(stored, sgd.table_scale)["table.item"], dense_table)
print(f"after {steps} steps, {V} rows, 6 ids a step: scale {sgd.table_scale:.4f}, error to the dense twin {error:.0e}")
assert error < 1e-12

# %% [markdown]
# ## Folding
#
# $s$ falls for ever, and float32 ends near $10^{-38}$. So every 1,000 steps $s$ is multiplied into the table and starts again
# at 1. The step NUMBER decides, never "because a checkpoint is written": every fold rounds, so a run that was stopped and resumed
# would end with other bits than one that was left in peace.
# %%
assert sgd.step == 1500 and np.isclose(sgd.table_scale, (1 - 0.05 * l2) ** 500)  # folded once, at step 1,000

# %% [markdown]
# ## With a pencil
#
# $lr = ½$, $\lambda = 1$: a step halves every weight. Rows $v = (8, 4)$, $s = 1$; the gradient touches row 0 with $g = 2$.
# Dense: $(½·8 - ½·2,\ ½·4) = (3, 2)$. Lazy: $s' = ½$, $v'_0 = 8 - (½ / ½)·2 = 6$, and $v'_1 = 4$ is not touched. Truly:
# $s' v' = (3, 2)$.
# %%
pencil, one = {"table.item": np.array([[8.0], [4]])}, SGD()
one.apply(pencil, {"table.item": sum_rows(np.array([0]), np.array([[2.0]]))}, 0.5, 1.0)
v = pencil["table.item"]
print("pencil: s'", one.table_scale, "  v'", v[:, 0], "  true rows", one.table_scale * v[:, 0])
assert v.tolist() == [[6], [4]] and one.table_scale == 0.5

# %% [markdown]
# ## How large may a step be?
#
# Near a minimum a loss is a bowl, ½ c w²; $c$ is its bend (second derivative). A step makes $w \leftarrow (1 - lr\,c)\,w$.
# That shrinks only if $|1 - lr\,c| < 1$, so $lr < 2/c$. For a bowl, whose bend is the same everywhere, this is exact: below
# $2/c$ every rate is safe, above it none is.
# %%
for rate in (0.4, 0.5, 0.6):
    path = (1 - rate * 4) ** np.arange(5)  # each step multiplies w by the same number
    print(f"bend 4, 2/bend = 0.5, rate {rate}: w = {path.round(3)}")

# %% [markdown]
# Where does our loss bend strongly? Let $\delta$ be one small vector of $D$ numbers that is added to all $h_t$. **We hold the
# $e_t$ fixed.** In the model they are not: $h_t$ is also the query of the vanilla attention, so $e_t$ answers to $\delta$ too.
# That second path is left out, and so are all other parameters. What follows is one part of the bend, the one easy to see.
#
# With $e_t$ fixed, $f_t$ moves by $\delta \cdot e_t$. The slope of the loss by $f_t$ is $(\sigma_t - y_t)/T$, where
# $\sigma_t = \sigma(f_t)$. Its bend is $\sigma_t(1-\sigma_t)/T \le 1/(4T)$. So the bends along all $\delta$ are the matrix
#
# $$ B = \frac1T \sum_t \sigma_t (1 - \sigma_t)\, e_t e_t^\top $$
#
# Below, `bend` is its largest eigenvalue, the bend along the worst $\delta$. It is at most $\frac14$ of the mean $|e_t|^2$.
# (A largest eigenvalue is at most the sum of all of them, and that is the sum of the diagonal.) At the start it comes near:
# all $\sigma_t \approx ½$, and the $e_t$ are much alike.
#
# And $e_t$ leaves a layer norm: $D$ numbers of variance 1, times the gain. So $|e_t|^2 = D · gain^2$. With $D = 128$ and gain 1
# the bend is up to 32, and 2/bend is 1/16 or more. With gain 0.1, as `parameters.initialise` has it in $F_{vanilla}$, the bend is
# up to 0.32, and 2/bend is 6 or more.
# %%
wide = toy_problem(np.random.default_rng(1), width=128, spaces=8, item_bias=False)
SEEDS, STEPS = range(4), 25


def batch_of(seed):
    return random_batch(np.random.default_rng(2 + seed), wide.model.space.groups, [4, 6, 3, 8, 5, 2, 7, 3], [2] * 8)


def bends(e, f):  # [T,D], [T] -> eigenvalues [D] rising, eigenvectors [D,D] in its columns
    s = sigmoid(f)
    return np.linalg.eigh((e.T * (s * (1 - s))) @ e / len(f))


batch, at_start = batch_of(0), {}
for gain in (1.0, 0.1):
    f, cache = wide.model.forward(wide.model.init(0, gain=gain, dtype=np.float64), batch)
    e = cache.e
    values, directions = bends(e, f)
    bend, size = values[-1], (e**2).sum(1).mean()
    delta = directions[:, -1]
    loss_at = [pointwise_forward(f + t * (e @ delta), batch.label)[0] for t in (1e-3, 0, -1e-3)]  # e held fixed
    numeric = (loss_at[0] - 2 * loss_at[1] + loss_at[2]) / 1e-6  # a second derivative
    at_start[gain] = bend
    print(f"gain {gain}: |e|² = {size:.2f}, bend {bend:.3f} ≤ |e|²/4 = {size / 4:.3f}; 2/bend = {2 / bend:.2f}")
    assert abs(numeric - bend) < 1e-4 * bend and bend <= size / 4 and np.isclose(size, 128 * gain**2, rtol=1e-2)

# %% [markdown]
# ## Is 2/bend a safe rate, then?
#
# No. A loss is no bowl: its bend changes with every step. Above all, the gain is trained, and $|e_t|^2$ grows with its square.
# So we measure: plain descent on one batch, and 2/bend again before each step. Four seeds, each with its own start and batch.
# %%


def descend(gain, rate, seed, steps=STEPS):
    """Plain descent (no decay) from the package's start: the loss and 2/bend before each step, NaN after it has failed."""
    batch = batch_of(seed)
    backend = NumpyBackend(wide.model, wide.model.init(seed, gain=gain), wide.config)
    losses, bounds = np.full((2, steps), np.nan)
    with np.errstate(all="ignore"):
        for step in range(steps):
            f, cache = wide.model.forward(backend.params, batch)
            if not np.isfinite(cache.e).all() or not np.isfinite(f).all():
                break
            bounds[step] = 2 / bends(cache.e, f)[0][-1]
            losses[step] = backend.train_step(batch, rate)
    return losses, bounds


def jump(losses):
    """The largest loss as a multiple of the first one; infinite if it ends in NaN."""
    return losses.max() / losses[0] if np.isfinite(losses).all() else np.inf


RATES = {1.0: (0.5, 1.0), 0.1: (0.5, 1.0, 2.0, 4.0)}
runs = {(gain, rate, seed): descend(gain, rate, seed) for gain in RATES for rate in RATES[gain] for seed in SEEDS}
jumps = {(gain, rate): np.array([jump(runs[gain, rate, seed][0]) for seed in SEEDS]) for gain in RATES for rate in RATES[gain]}
crossings = {}  # the first step at which 2/bend is below the rate
for (gain, rate), seen in jumps.items():
    below = [np.flatnonzero(runs[gain, rate, seed][1] < rate) for seed in SEEDS]
    crossings[gain, rate] = [int(steps[0]) if len(steps) else None for steps in below]
    started = [float(runs[gain, rate, seed][1][0].round(2)) for seed in SEEDS]
    print(f"gain {gain}, rate {rate}: 2/bend starts at {started}, is below the rate from step {crossings[gain, rate]}")
    print(f"    largest loss over the first, by seed (inf: it ends in NaN): {seen.round(2)}")

# %% [markdown]
# What holds in all four seeds:
#
# * **Gain 1**: the paper's rate 1.0 ends in NaN. The package's 0.5 throws the loss up by a tenth and more, and it comes back.
#   Both rates are far above 2/bend, which is 0.07 to 0.09. So a rate above 2/bend need not fail: a loss is flatter further
#   out, where $\sigma(1-\sigma)$ is small.
# * **Gain 0.1**: 2/bend starts at 7 to 9. **A rate of 4.0, about half of it, ends in NaN all the same.** At rates of 2.0 and 4.0
#   the gain grows so fast that 2/bend is below the rate within 10 steps.
# * **Gain 0.1, rate 0.5**: the loss never exceeds its start.
#
# In between it depends on the seed: the rate 2.0 ended in NaN with seed 0 (2/bend = 8.03) and not with the others.
# So 2/bend is a limit of the first steps, no promise for the run. The small gain makes the start gentle; it is measured, not
# proved, that a rate of 0.5 is then safe.
# %%
for gain, rate in ((1.0, 1.0), (0.1, 4.0)):
    assert np.isinf(jumps[gain, rate]).all()
assert (jumps[1.0, 0.5] > 1.1).all() and (jumps[1.0, 0.5] < 2.5).all()
assert all(runs[1.0, 0.5, seed][0][-1] < np.log(2) for seed in SEEDS)  # it comes back
assert (jumps[0.1, 0.5] <= 1).all() and (jumps[0.1, 1.0] < 1.25).all()
for seed in SEEDS:
    bounds = [runs[0.1, rate, seed][1][0] for rate in RATES[0.1]]
    assert min(bounds) > 6.5 and max(bounds) < 10 and runs[1.0, 0.5, seed][1][0] < 0.1
assert max(crossings[0.1, 2.0]) < 10 and max(crossings[0.1, 4.0]) < 10
rates = (0.03, 0.06, 0.125, 0.25, 0.5, 0.7, 1, 1.4, 2, 2.8, 4, 5.6, 8, 11)
largest = {gain: [min(jump(descend(gain, rate, 0)[0]), 200.0) for rate in rates] for gain in RATES}

# %% [markdown]
# ## The picture
#
# Top left: one bowl, three rates. Top right: the real model, seed 0, a cross where the loss ends in NaN. Bottom left: 2/bend
# before each step at gain 0.1; each curve falls through its own rate (dotted). Bottom right: how far the loss is thrown up in 25
# steps, over the rate. At gain 0.1 it fails from 2.0 on, long before 2/bend (dashed). At gain 1 it survives some rates above it.
# %%
with figure("15_descent", rows=2, columns=2, size=(11.5, 8)) as (fig, axes):
    (left, right), (low_left, low_right) = axes
    bowl = np.linspace(-1.6, 1.6, 101)
    left.plot(bowl, 2 * bowl**2, color="0.7")
    for rate, colour, steps in ((0.15, "C0", 5), (0.45, "C2", 5), (0.55, "C3", 3)):
        path = (1 - 4 * rate) ** np.arange(steps)
        left.plot(path, 2 * path**2, "o-", color=colour, lw=1, ms=4, label=f"rate {rate}: × {1 - 4 * rate:+.1f} a step")
    left.set(title="a bowl with a bend of 4: safe below 2/4", xlabel="w", ylabel="loss", ylim=(-0.2, 7))
    left.legend(loc="upper center", fontsize=8)

    colours = {0.5: "C0", 1.0: "C1", 2.0: "C3", 4.0: "C4"}
    for (gain, rate, seed), (losses, bounds) in runs.items():
        if seed > 0:
            continue
        style = dict(color=colours[rate], ls="--" if gain == 1 else "-", label=f"gain {gain}, rate {rate}")
        right.semilogy(losses, **style)
        if np.isnan(losses).any():
            right.plot(np.isnan(losses).argmax(), 60, "x", color=colours[rate], ms=8, mew=2)
        if gain == 0.1:
            low_left.semilogy(bounds, color=colours[rate], label=f"rate {rate}")
            low_left.axhline(rate, color=colours[rate], ls=":", lw=1)
    right.axhline(np.log(2), color="0.5", ls=":")
    right.text(24, np.log(2) * 1.08, "ln 2", ha="right", color="0.4", fontsize=9)
    right.set(title="the model's loss on one batch; ×: NaN", xlabel="step", ylabel="loss", ylim=(0.2, 100))
    right.legend(fontsize=8, loc="center right")
    low_left.set(title="gain 0.1: 2/bend before each step; dotted: the rate", xlabel="step", ylabel="2/bend", ylim=(0.02, 15))
    low_left.legend(fontsize=8, loc="lower left")

    for (gain, thrown), colour in zip(largest.items(), ("0.4", "C3")):
        low_right.loglog(rates, thrown, "o-", color=colour, label=f"gain {gain}")
        low_right.axvline(2 / at_start[gain], color=colour, ls="--")
        place = dict(color=colour, rotation=90, fontsize=9, ha="right", va="center")
        low_right.text(2 / at_start[gain] * 0.93, 7, f"2/bend at the start, gain {gain}", **place)
    low_right.set(title="seed 0: largest loss in 25 steps, over the first one", xlabel="rate", ylim=(0.8, 300))
    low_right.set_yticks([1, 10, 100, 200], ["1", "10", "100", "200, or NaN"])
    low_right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.92))

# %% [markdown]
# ## What people get wrong
# %%
touched = np.full((V, 1), 1.0)  # 1. decaying only the rows that the batch touched
for _ in range(200):
    touched[np.unique(rng.zipf(1.5, 6) % V)] *= 1 - 0.05 * 0.1
print(f"1. decay of touched rows only: all should be at {0.995**200:.2f}, are at {touched.min():.2f} to {touched.max():.2f}")
lost, ids = np.zeros(4), np.array([2, 2, 2])
lost[ids] -= 0.5 * np.ones(3)  # 2. ids that repeat
right = -0.5 * sum_rows(ids, np.ones((3, 1))).values[0, 0]
print(f"2. row 2 stands three times in a batch: {lost[2]} instead of {right}")
halved = 0.5 * np.array([8.0 - 0.5 * 2, 4])  # 3. lr g instead of (lr/s') g
print(f"3. the pencil example without dividing by s': {halved} instead of [3. 2.]: a small scale learns ever less")
big, rows = np.zeros((63_001, 64), np.float32), np.arange(50)
clock = [time.perf_counter()]
for work in (lambda: np.multiply(big, 0.999, out=big), lambda: np.add.at(big, rows, 1)):
    work()
    clock.append(time.perf_counter())
print("4. ms for the whole table, and for 50 rows and a scale:", (1e3 * np.diff(clock)).round(2))
assert touched.max() > touched.min() and lost[2] == -0.5

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 15`: a step that is lazy and exact, and 2/bend.
# %%
print("lesson 15 done: whole-table L2 costs one number; 2/bend limits the first steps only, as the gain grows")
