# %% [markdown]
# # Lesson 15. Descent: the step, L2 on sparse rows, and how large a step may be
#
# *Before it: lessons 03 (embedding rows), 10 (layer norm), 13 (the loss), 14. About 50 minutes. It runs for about 10 seconds.*
#
# All gradients are there. Now the parameters move. The paper: plain gradient descent (SGD), a learning rate of 1.0 with
# exponential decay 0.1, and L2 with the weight $\lambda = 5·10^{-5}$. Two questions need care:
#
# * L2 shrinks **every** row of every embedding table in every step. A batch uses 50 rows of 63,001. Must we write them all?
# * How large may a learning rate be, before the loss explodes?
#
# **Conventions.** $dZ$ is $\partial L/\partial Z$: it has the shape of $Z$, and says how fast the loss $L$ grows with each
# number of $Z$. $\lVert w \rVert^2$ is the sum of all squares of $w$. `relative_error(A, B)` is the largest difference divided
# by the largest entry. `scoreboard` takes rows (name, our gradient, array, rest of the computation as a function of that
# array), and compares with numeric derivatives.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: small products lose by more threads

import numpy as np
from _common import figure, scoreboard

from atrank_np.backend import NumpyBackend
from atrank_np.config import Config
from atrank_np.gradcheck import random_batch, relative_error, toy_problem
from atrank_np.layers.embedding import sum_rows
from atrank_np.layers.ranking import pointwise_forward, sigmoid
from atrank_np.optimizer import FOLD, SGD, learning_rate, unscaled

# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# A table has two rows of one number: 8 and 4. The learning rate is ½, and $\lambda$ is 1 (huge, so that we see it). The batch
# uses row 0 only, and its gradient there is 2.
#
# With L2 the gradient of a weight $w$ is $g + \lambda w$. So row 0 becomes 8 − ½ (2 + 8) = 3. Row 1 is not in the batch, its
# $g$ is 0, but it shrinks as well: 4 − ½ (0 + 4) = 2.
#
# The trick: store the table as $v$, and beside it one number $s$, so that the true table is $s\,v$. At the start $s = 1$,
# $v = (8, 4)$. Shrinking by ½ is now $s = ½$, and nothing else. Row 1 is done: ½ · 4 = 2. Row 0 must become 3, so $v_0 = 6$:
# it has to fall by 2, which is ½ · 2 divided by the new $s$.
# %%
v, s = np.array([8.0, 4.0]), 1.0
rate, l2, g_0 = 0.5, 1.0, 2.0
s = (1 - rate * l2) * s
v[0] = v[0] - rate / s * g_0
print("stored", v, "  scale", s, "  true rows", s * v)
assert (s * v).tolist() == [3, 2]

# %% [markdown]
# ## The equations
#
# What is minimised is the loss plus a price for large weights:
#
# $$ J = L + \frac{\lambda}{2} \lVert w \rVert^2 \qquad\qquad
#    \frac{\partial J}{\partial w} = g + \lambda w \qquad\text{with}\qquad g = dw = \frac{\partial L}{\partial w} $$
#
# The derivative of $\frac\lambda2 w_i^2$ is $\lambda w_i$: that is why the ½ stands there. A step is
#
# $$ w \leftarrow w - lr\,(g + \lambda w) = (1 - lr\,\lambda)\, w - lr\, g $$
# %%
rng = np.random.default_rng(15)
w = rng.standard_normal((5, 3))
goal = rng.standard_normal((5, 3))
lam = 0.3


def L(w):  # a made-up loss
    return 0.5 * ((w - goal) ** 2).sum()


def J(w):
    return L(w) + lam / 2 * (w**2).sum()


g = w - goal
assert scoreboard(("w", g + lam * w, w, J))

# %% [markdown]
# The learning rate falls from step to step: at step $t$ of $n$ it is $lr_t = lr · 0.1^{t/n}$. So it is a tenth at the end. The
# package's default for $lr$ is 0.5, half of the paper's; below you see why.
# %%
for step in (0, 500, 1000):
    print(f"step {step} of 1000: learning rate {learning_rate(Config(), step, 1000):.3f}")
assert np.isclose(learning_rate(Config(), 500, 1000), 0.5 * 0.1**0.5)


# %% [markdown]
# ## The slow version: the whole table in every step
#
# `ids` are the rows that the batch uses, `values` their gradients. A row may be used several times: its gradients add up.
# %%
def step_dense(table, ids, values, rate, l2):  # [V,E], [N], [N,E] -> [V,E]
    g = np.zeros_like(table)
    for i, value in zip(ids, values):
        g[i] += value
    return (1 - rate * l2) * table - rate * g


# %% [markdown]
# ## The lazy version, derived
#
# The true table is $w = s\,v$. We look for $s'$ and $v'$ with $s' v' = (1 - lr\,\lambda)\, w - lr\, g$. Let the scale take all
# of the shrinking, $s' = (1 - lr\,\lambda)\, s$. Then
#
# $$ s' v' = (1 - lr\,\lambda)\, s\, v - lr\, g = s' v - lr\, g \qquad\Rightarrow\qquad v' = v - \frac{lr}{s'}\, g $$
#
# Where $g$ is 0, $v$ stays as it is. **Only the rows of the batch are written, and all rows shrink, exactly.** $g$ is the
# gradient by the true table $w$; the forward pass multiplies each row that it reads by $s$.
# %%
def step_lazy(v, s, ids, values, rate, l2):  # as above, but on s v; -> v, s
    s = (1 - rate * l2) * s
    v = v.copy()
    for i, value in zip(ids, values):
        v[i] -= rate / s * value
    return v, s


V, E, l2, steps = 40, 4, 0.01, FOLD + 500
rate = 0.05
dense = rng.standard_normal((V, E))
v, s = dense.copy(), 1.0
stored = {"table.item": dense.copy()}  # the package's, under a parameter's name
sgd = SGD()
for _ in range(steps):
    ids = rng.integers(V, size=6)
    values = 0.02 * dense[ids] + rng.standard_normal((6, E))
    dense = step_dense(dense, ids, values, rate, l2)
    v, s = step_lazy(v, s, ids, values, rate, l2)
    sgd.apply(stored, {"table.item": sum_rows(ids, values)}, rate, l2)
print(f"after {steps} steps: s = {s:.2g}, error of s v: {relative_error(s * v, dense):.0e}")
assert relative_error(s * v, dense) < 1e-12
true_table = unscaled(stored, sgd.table_scale)["table.item"]
print(f"the package: table_scale = {sgd.table_scale:.2g}, error {relative_error(true_table, dense):.0e}")
assert relative_error(true_table, dense) < 1e-12

# %% [markdown]
# ## Why is the package's scale another one?
#
# $s$ falls for ever, and float32 ends near $10^{-38}$. So every 1,000 steps the package multiplies $s$ into the table and
# starts again at 1. This is called folding. The step **number** decides when, never the writing of a checkpoint: each fold
# rounds, and a run that is stopped and resumed must end with the same bits as one that is not.
# %%
assert FOLD == 1000 and sgd.step == 1500
assert np.isclose(sgd.table_scale, (1 - rate * l2) ** 500)  # of the steps since the fold
assert np.isclose(s, (1 - rate * l2) ** 1500)

# %% [markdown]
# ## How large may a step be? First a bowl
#
# Take the loss ½ $c\, w^2$, a bowl with its minimum at 0. Its slope is $c\,w$, and the slope of the slope is $c$. We call
# $c$ the **bend**. A step is $w \leftarrow w - lr\, c\, w = (1 - lr\, c)\, w$: each step multiplies $w$ by the same number.
# $w$ goes to 0 if this number is between −1 and 1, and that is $lr < 2/c$. For a bowl this is exact: below $2/c$ every rate
# works, above it none.
# %%
for rate in (0.4, 0.5, 0.6):
    path = (1 - rate * 4) ** np.arange(5)
    print(f"bend 4, so 2/bend = 0.5. Rate {rate}: w = {path.round(3)}")

# %% [markdown]
# ## The bend of our loss, in one place
#
# A loss of many parameters bends differently in each direction. We look at one kind of direction only. Let $\delta$ be a
# vector of $D$ numbers that is added to the $h_t$ of **all** targets. We hold the $e_t$ fixed. In the model they are not:
# $h_t$ is also the query of the vanilla attention, so $e_t$ changes with $\delta$ too. That part is left away, and so are all
# other parameters. What follows is one part of the bend, the one that can be seen easily.
#
# With $e_t$ fixed, $f_t = (h_t + \delta) \cdot e_t$. The slope of the loss by $f_t$ is $(\sigma_t - y_t)/T$ with
# $\sigma_t = \sigma(f_t)$ (lesson 13), and the slope of $\sigma$ is $\sigma(1 - \sigma)$. So the loss has by $\delta$ the
# second derivatives
#
# $$ B_{ij} = \frac{\partial^2 L}{\partial \delta_i\, \partial \delta_j}
#    = \frac1T \sum_t \sigma_t (1 - \sigma_t)\, e_{ti}\, e_{tj} $$
#
# The bend in the direction of a vector $\delta$ of length 1 is $\delta^\top B\, \delta$, and the largest one is the largest
# eigenvalue of $B$. Below this number is called `bend`.
#
# How large is it? $\sigma(1 - \sigma) \le ¼$, and a largest eigenvalue is at most the sum of the diagonal. So `bend` is at
# most a quarter of the mean $\lVert e_t \rVert^2$. And $e_t$ comes out of a layer norm: $D$ numbers of variance 1, times the
# gain. So $\lVert e_t \rVert^2 = D · gain^2$. With $D = 128$ and gain 1, `bend` is at most 32. With gain 0.1 it is at most
# 0.32. The package starts the gain of $F_{vanilla}$ at 0.1 for this reason
# (`parameters.initialise`).
# %%
wide = toy_problem(np.random.default_rng(1), width=128, spaces=8, item_bias=False)
SEEDS, STEPS = range(4), 25


def batch_of(seed):
    lengths, targets = [4, 6, 3, 8, 5, 2, 7, 3], [2] * 8
    return random_batch(np.random.default_rng(2 + seed), wide.model.space.groups, lengths, targets)


def bends(e, f):  # [T,D], [T] -> eigenvalues [D], rising; eigenvectors [D,D], in its columns
    s = sigmoid(f)
    B = (e.T * (s * (1 - s))) @ e / len(f)
    return np.linalg.eigh(B)


for gain in (1.0, 0.1):
    for seed in SEEDS:
        batch = batch_of(seed)
        f, cache = wide.model.forward(wide.model.init(seed, gain=gain, dtype=np.float64), batch)
        e = cache.e
        values, directions = bends(e, f)
        bend, delta = values[-1], directions[:, -1]
        at = []  # the loss at three places along δ, with e held fixed
        for t in (-1e-3, 0, 1e-3):
            loss, _ = pointwise_forward(f + t * (e @ delta), batch.label)
            at.append(loss)
        numeric = (at[0] - 2 * at[1] + at[2]) / 1e-6  # a second derivative
        size = (e**2).sum(1).mean()
        print(f"gain {gain}, seed {seed}: |e|² = {size:.2f}, bend {bend:.3f}, at most {size / 4:.3f}; 2/bend = {2 / bend:.2f}")
        assert abs(numeric - bend) < 1e-4 * bend
        assert bend <= size / 4 and np.isclose(size, 128 * gain**2, rtol=1e-2)


# %% [markdown]
# ## Is every rate below 2/bend safe, then?
#
# No. A loss is no bowl: its bend changes with every step. The gain is trained, and $\lVert e_t \rVert^2$ grows with its
# square. So we measure: plain descent on one batch of 16 targets, and 2/bend before each step. Four seeds, each with its own
# start and its own batch.
# %%
def descend(gain, rate, seed):
    """Plain descent (no decay) from the package's start: the loss and 2/bend before each step, NaN after it has failed."""
    batch = batch_of(seed)
    backend = NumpyBackend(wide.model, wide.model.init(seed, gain=gain), wide.config)
    losses, bounds = np.full((2, STEPS), np.nan)
    with np.errstate(all="ignore"):
        for step in range(STEPS):
            f, cache = wide.model.forward(backend.params, batch)
            if not np.isfinite(cache.e).all() or not np.isfinite(f).all():
                break
            values, _ = bends(cache.e, f)
            bounds[step] = 2 / values[-1]
            losses[step] = backend.train_step(batch, rate)
    return losses, bounds


RUNS = ((1.0, 0.5), (1.0, 1.0), (0.1, 0.5), (0.1, 1.0), (0.1, 2.0), (0.1, 4.0))  # (gain, rate)
losses, bounds = {}, {}
for gain, rate in RUNS:
    of_seeds = [descend(gain, rate, seed) for seed in SEEDS]
    losses[gain, rate] = np.array([loss for loss, _ in of_seeds])  # [seeds, STEPS]
    bounds[gain, rate] = np.array([bound for _, bound in of_seeds])
    failed = np.isnan(losses[gain, rate]).any(1)
    highest = np.where(failed, np.inf, losses[gain, rate].max(1) / losses[gain, rate][:, 0])
    print(f"gain {gain}, rate {rate}: 2/bend at the start {bounds[gain, rate][:, 0].round(2)}")
    print(f"    the largest loss over the first, by seed (inf: it ends in NaN): {highest.round(2)}")

# %% [markdown]
# What holds in all four seeds, and is asserted below:
#
# * **Gain 1.** 2/bend is below 0.1 at the start. The paper's rate of 1.0 ends in NaN. The package's 0.5 lets the loss jump up
#   by a tenth or more; then it comes back. Both rates are far above 2/bend, so a rate above it need not fail: away from the
#   start $\sigma(1 - \sigma)$ is smaller, and the loss is flatter.
# * **Gain 0.1.** 2/bend is above 6.5 at the start. **The rate 4.0 is below it, and ends in NaN all the same**: within 10 steps
#   2/bend has fallen below the rate, for the gain has grown. At rate 2.0 it also falls below the rate within 10 steps; the
#   loss then may come back or not, and even the rounding of another machine can decide.
# * **Gain 0.1, rate 0.5**, the package's default: the loss never exceeds its start.
#
# So 2/bend is a limit for the first steps, and no promise for the run. The small gain makes the start gentle. That a rate of
# 0.5 is then safe is measured, not proved.
# %%
for gain, rate in ((1.0, 1.0), (0.1, 4.0)):
    assert np.isnan(losses[gain, rate]).any(1).all()
thrown = losses[1.0, 0.5].max(1) / losses[1.0, 0.5][:, 0]
assert (thrown > 1.1).all() and (losses[1.0, 0.5][:, -1] < np.log(2)).all()  # up, and back
assert (losses[0.1, 0.5] <= losses[0.1, 0.5][:, :1]).all()
for gain, rate in RUNS:
    start = bounds[gain, rate][:, 0]
    assert (start < 0.1).all() if gain == 1 else (start > 6.5).all()
for rate in (2.0, 4.0):
    assert (np.nanmin(bounds[0.1, rate][:, :10], axis=1) < rate).all()

# %% [markdown]
# ## The picture
#
# Left: one bowl, three rates. Middle: the loss of the model; four lines of a colour are four seeds, and a cross marks where a
# run ended in NaN. Right: 2/bend before each step at gain 0.1. The dotted lines are the two rates: at rate 4.0 all four lines
# have fallen below their rate after a few steps.
# %%
with figure("15_descent", columns=3, size=(14, 4.3)) as (fig, axes):
    bowl_axis, loss_axis, bend_axis = axes
    bowl = np.linspace(-1.6, 1.6, 101)
    bowl_axis.plot(bowl, 2 * bowl**2, color="0.7")
    for rate, colour, count in ((0.15, "C0", 5), (0.45, "C2", 5), (0.55, "C3", 3)):
        path = (1 - 4 * rate) ** np.arange(count)
        bowl_axis.plot(path, 2 * path**2, "o-", color=colour, lw=1, ms=4, label=f"rate {rate}: × {1 - 4 * rate:+.1f} a step")
    bowl_axis.set(title="a bowl with a bend of 4: 2/bend = 0.5", xlabel="w", ylabel="loss", ylim=(-0.2, 7))
    bowl_axis.legend(loc="upper center", fontsize=8)

    colours = {(1.0, 0.5): "C1", (1.0, 1.0): "C3", (0.1, 0.5): "C0", (0.1, 4.0): "C4"}
    for (gain, rate), colour in colours.items():
        for seed in SEEDS:
            label = f"gain {gain:g}, rate {rate}" if seed == 0 else None
            seen = losses[gain, rate][seed]
            loss_axis.semilogy(seen, color=colour, lw=1, label=label)
            if np.isnan(seen).any():
                last = np.isnan(seen).argmax()
                loss_axis.plot(last, 60 * 0.7**seed, "x", color=colour, ms=7, mew=2)
    loss_axis.axhline(np.log(2), color="0.5", ls=":")
    loss_axis.text(24, 0.75, "ln 2", ha="right", color="0.4", fontsize=9)
    loss_axis.set(title="loss on one batch; ×: NaN", xlabel="step", ylabel="loss", ylim=(0.2, 100), xlim=(0, 25))
    loss_axis.legend(fontsize=8, loc="center right")

    for rate, colour in ((0.5, "C0"), (4.0, "C4")):
        bend_axis.semilogy(bounds[0.1, rate].T, color=colour, lw=1)
        bend_axis.axhline(rate, color=colour, ls=":", lw=1.2)
        place = dict(x=24.8, ha="right", va="bottom") if rate > 1 else dict(x=0.2, ha="left", va="top")
        bend_axis.text(y=rate, s=f"the rate {rate}", color=colour, fontsize=9, **place)
    bend_axis.set(title="gain 0.1: 2/bend before each step", xlabel="step", ylabel="2/bend", ylim=(0.02, 15), xlim=(0, 25))

# %% [markdown]
# ## What people get wrong
# %%
keep = 1 - 0.05 * 0.1  # 1. only the rows that the batch touched are decayed
for seed in range(3):
    draw = np.random.default_rng(seed)
    touched = np.ones(V)
    for _ in range(200):
        popular = np.unique(draw.zipf(1.5, 6) % V)  # some rows are in most batches, some in few
        touched[popular] *= keep
    print(f"1. decay of touched rows only: should all be {keep**200:.2f}, are {touched.min():.2f} to {touched.max():.2f}")
    assert touched.max() > 0.9 and touched.min() < 0.5  # frequent rows are decayed often, rare rows hardly ever

lost, ids = np.zeros(4), np.array([2, 2, 2])  # 2. ids that repeat
lost[ids] -= 0.5 * np.ones(3)
right = np.zeros(4)
np.add.at(right, ids, -0.5)
print(f"2. row 2 stands three times in a batch: `w[ids] -= …` gives {lost[2]}, right is {right[2]}")
assert lost[2] == -0.5 and right[2] == -1.5

undivided = 0.5 * np.array([8.0 - 0.5 * 2, 4])  # 3. lr g in place of (lr/s') g
print(f"3. the first example without dividing by s': {undivided} in place of [3. 2.]; the smaller s, the less is learned")
assert undivided.tolist() == [3.5, 2]

small = 1 / (1 - 0.5 * 5e-5) - 1  # 4. divided by the scale before the step
print(f"4. divided by s and not by s': at rate 0.5 and λ = 5e-5 each step is wrong by {small:.1e} of itself: hard to find")
assert 2e-5 < small < 3e-5

# %% [markdown]
# ## Your turn
#
# In the exercise the step has momentum. Then even a row that is not in the batch moves on, for its momentum is not 0. Bring
# such a row up to date in one go, however many steps it has waited: no scale can do that, but a sum of powers can. Then a
# bend, and what is 2/bend? `python -m lessons.exercises check 15` (from the repository's root).
# %%
print("lesson 15 done: L2 on a whole table costs one number; 2/bend limits the first steps only, as the gain grows")
