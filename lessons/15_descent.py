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
from atrank_np.gradcheck import relative_error
from atrank_np.gradcheck.cases import random_batch, toy_problem
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
# That shrinks only if $|1 - lr\,c| < 1$, so $lr < 2/c$; turned round: **a rate is safe below a bend of $2/lr$**.
# %%
for rate in (0.4, 0.5, 0.6):
    path = (1 - rate * 4) ** np.arange(5)  # each step multiplies w by the same number
    print(f"bend 4, rate {rate}: w = {path.round(3)}")

# %% [markdown]
# Where does our loss bend strongly? Let all $h_t$ move together by $\delta$: then $f_t$ moves by $\delta \cdot e_t$. The slope
# of the loss by $f_t$ is $(\sigma - y)/T$, its bend $\sigma(1-\sigma)/T \le 1/(4T)$. So the bend along $\delta$ is the matrix
# $\frac1T \sum_t \sigma_t (1 - \sigma_t)\, e_t e_t^\top$. At the start all $\sigma = ½$ and the $e_t$ are alike: its largest
# eigenvalue is up to $|e|^2/4$. And $e$ leaves a layer norm: $D$ numbers of variance 1, times the gain. So $|e|^2 = D · gain^2$:
# with $D = 128$ and gain 1 the bend is up to 32, safe below $lr = 1/16$ only. With 0.1, as `parameters.initialise` has it in
# $F_{vanilla}$, it is 0.32, safe below 6. But only along $\delta$, and while the gain stays: it is trained, a step too large lets
# it grow, and the bend with it. 2/bend is a limit at the start, no promise.
# %%
wide = toy_problem(np.random.default_rng(1), width=128, spaces=8, item_bias=False)
batch = random_batch(np.random.default_rng(2), wide.model.space.groups, [4, 6, 3, 8, 5, 2, 7, 3], [2] * 8)
worst = {}
for gain in (1.0, 0.1):
    params = wide.model.init(0, gain=gain, dtype=np.float64)
    f, cache = wide.model.forward(params, batch)
    e, s = cache.e, sigmoid(f)
    bends, directions = np.linalg.eigh((e.T * (s * (1 - s))) @ e / len(f))
    bend, worst[gain], size = bends[-1], bends[-1], (e**2).sum(1).mean()
    along = lambda t, e=e, f=f, d=directions[:, -1]: pointwise_forward(f + t * (e @ d), batch.label)[0]
    numeric = (along(1e-3) - 2 * along(0) + along(-1e-3)) / 1e-6  # a second derivative
    print(f"gain {gain}: |e|² = {size:.2f}, bend {bend:.3f} ≤ |e|²/4 = {size / 4:.3f}; along δ safe below {2 / bend:.2f}")
    assert abs(numeric - bend) < 1e-4 * bend and bend <= size / 4 and np.isclose(size, 128 * gain**2, rtol=1e-2)


def train(gain, rate, steps):
    """Losses of plain descent (no decay) from the package's start."""
    backend = NumpyBackend(wide.model, wide.model.init(0, gain=gain), wide.config)
    with np.errstate(all="ignore"):
        return np.array([backend.train_step(batch, rate) for _ in range(steps)])


runs = {(gain, rate): train(gain, rate, 25) for gain, rate in ((1.0, 0.5), (1.0, 1.0), (0.1, 0.5), (0.1, 1.0), (0.1, 2.0))}
for (gain, rate), losses in runs.items():
    print(f"gain {gain}, rate {rate}: starts at {losses[0]:.3f}, at most {np.nanmax(losses):.3g}, ends at {losses[-1]:.3f}")
assert runs[1.0, 0.5].max() > 1.2 * runs[1.0, 0.5][0]  # our default rate: thrown out of the bowl, and lucky to come back
assert not np.isfinite([runs[1.0, 1.0][-1], runs[0.1, 2.0][-1]]).any()  # the paper's rate; and far below 2/bend: the gain grew
assert all(runs[0.1, rate].max() <= 1.1 * runs[0.1, rate][0] for rate in (0.5, 1.0))
rates = (0.03, 0.06, 0.125, 0.25, 0.5, 1, 2)
first = {gain: [np.nan_to_num(train(gain, r, 8)[1:], nan=9e9).max() for r in rates] for gain in worst}

# %% [markdown]
# ## The picture
#
# Left: one bowl, three rates. Middle: the real model. Right: the largest loss of the first steps over the rate, with 2/bend
# dashed. The bound speaks of a bowl; a loss is flatter further out ($\sigma(1-\sigma)$ falls), so at gain 1 it forgives some.
# %%
with figure("15_descent", columns=3, size=(12.5, 3.9)) as (fig, axes):
    bowl = np.linspace(-1.6, 1.6, 101)
    axes[0].plot(bowl, 2 * bowl**2, color="0.7")
    for rate, colour, steps in ((0.15, "C0", 5), (0.45, "C2", 5), (0.55, "C3", 3)):
        path = (1 - 4 * rate) ** np.arange(steps)
        axes[0].plot(path, 2 * path**2, "o-", color=colour, lw=1, ms=4, label=f"rate {rate}: × {1 - 4 * rate:+.1f} a step")
    axes[0].set(title="a bend of 4: safe below 2/4", xlabel="w", ylim=(-0.2, 7))
    axes[0].legend(loc="upper center", fontsize=8)
    for (gain, rate), losses in runs.items():
        colour, style = "C3" if gain == 1 else "C0", {0.5: "--", 1: "-", 2: ":"}[rate]
        axes[1].semilogy(losses, style, color=colour, label=f"gain {gain}, rate {rate}")
    axes[1].axhline(np.log(2), color="0.5", ls=":")
    axes[1].set(title=f"the model's loss; bends {worst[1.0]:.0f} and {worst[0.1]:.2f}", xlabel="step", ylim=(0.2, 100))
    axes[1].legend(fontsize=8)
    for (gain, losses), colour in zip(first.items(), ("C3", "C0")):
        axes[2].loglog(rates, np.minimum(losses, 100), "o-", color=colour)
        axes[2].axvline(2 / worst[gain], color=colour, ls="--")
        place = dict(color=colour, rotation=90, fontsize=9, ha="right", va="center")
        axes[2].text(2 / worst[gain] * 0.93, 20, f"2/bend, gain {gain}", **place)
    axes[2].axhline(np.log(2), color="0.5", ls=":")
    axes[2].set(title="largest loss in steps 1 to 7 (100: or more)", xlabel="rate", ylim=(0.5, 130))

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
# ## Your turn: `python -m lessons.exercises check 15`: a step that is lazy and exact, and the largest safe rate.
# %%
print("lesson 15 done: whole-table L2 costs one number; a rate is safe below a bend of 2/lr, and so gain 0.1")
