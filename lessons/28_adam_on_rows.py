# %% [markdown]
# # Lesson 28. Adam and Adagrad, on the rows of a table
#
# *Before it: lessons 03 (tables and the sum over repeated ids) and 15 (descent, lazy decay). About 40 minutes.*
#
# Plain descent (SGD) moves every number by its gradient times one rate for all. Two rows of an item table show where that is
# hard. Row 1 belongs to a best-seller and is in every batch: 1,000 gradients in 1,000 steps. Row 2 belongs to a rare object
# and is in one batch: one gradient. A rate that is right for row 1 teaches row 2 next to nothing. A rate that is right for
# row 2 makes row 1 jump about.
#
# **Adagrad** (Duchi et al., 2011) and **Adam** (Kingma and Ba, 2015) give each number a rate of its own. They remember how
# large its gradients have been, and divide by that. `--optimizer adam` and `--optimizer adagrad` do it in this package, and
# `--for top-n` (lesson 27) trains with Adam.
#
# There is no backward pass in this lesson. An optimiser takes gradients that are ready, and its question is what to do with
# them.
#
# ## What the signs mean
#
# * $w$ is a parameter, any single number of it. $g_t$ is its gradient in step $t = 1, 2, …$, so $g = \partial L/\partial w$.
# * $m_t$ is a mean of the gradients so far; $s_t$ a mean or a sum of their squares. Both begin at 0. In code `mean`, `square`.
# * `rate` is the learning rate, $\lambda$ (`l2`) the weight of the decay, as in lesson 15.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry.

# %%
import numpy as np
from _common import figure

from atrank_np.gradcheck import relative_error
from atrank_np.layers.embedding import Rows, sum_rows
from atrank_np.optimizer import ADAGRAD, ADAM, SGD, Adaptive, unscaled

# %% [markdown]
# ## Adagrad, for one number
#
# $$ s_t = s_{t-1} + g_t^2 \qquad w_t = w_{t-1} - rate \cdot \frac{g_t}{\sqrt{s_t} + \epsilon} $$
#
# $\epsilon$ = 1e-10 only keeps us from dividing 0 by 0.
#
# With a pencil: the gradient is always 4. Step 1: $s = 16$, and $4/\sqrt{16} = 1$. Step 2: $s = 32$, and
# $4/\sqrt{32} = 1/\sqrt 2$. Step $t$: $1/\sqrt t$. So the step begins at the rate and falls with the **number of gradients
# that this one number has had**. Let the gradient be always 4,000: the steps are the same. Only its change counts, not its
# scale.
# %%


def adagrad_slow(gradients, rate, epsilon=1e-10):
    """The steps of one number, one after the other."""
    square, moved = 0.0, []
    for g in gradients:
        square = square + g**2
        moved.append(rate * g / (np.sqrt(square) + epsilon))
    return np.array(moved)


for g in (4, 4000):
    print(f"Adagrad, gradient always {g}: steps {adagrad_slow([g] * 4, 1.0).round(3)}")
assert np.allclose(adagrad_slow([4] * 4, 1.0), 1 / np.sqrt([1, 2, 3, 4]))
assert np.allclose(adagrad_slow([4000] * 4, 1.0), adagrad_slow([4] * 4, 1.0))

# %% [markdown]
# ## Adam, for one number
#
# Adagrad's sum never forgets, so its steps become ever smaller. Adam takes means that forget, one of the gradients and one of
# their squares, with $\beta_1 = 0.9$ and $\beta_2 = 0.999$:
#
# $$ m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t \qquad s_t = \beta_2 s_{t-1} + (1 - \beta_2)\, g_t^2 $$
# $$ w_t = w_{t-1} - rate \cdot \frac{m_t / c_1}{\sqrt{s_t / c_2} + \epsilon} \qquad c_1 = 1 - \beta_1^t \qquad
#    c_2 = 1 - \beta_2^t $$
#
# **Why $c_1$ and $c_2$?** Write out the mean: $m_t = (1 - \beta_1)\,(g_t + \beta_1 g_{t-1} + … + \beta_1^{t-1} g_1)$. If all
# gradients are $g$, the geometric sum gives
#
# $$ m_t = (1 - \beta_1)\, \frac{1 - \beta_1^t}{1 - \beta_1}\; g = (1 - \beta_1^t)\, g = c_1\, g $$
#
# The weights do not add up to 1, but to $c_1$, as $m$ began at 0. Dividing by $c_1$ makes it a true mean. The same holds for
# $s_t$ and $c_2$. With a pencil, at $t = 1$ and $g = 4$: $m = 0.4$, $c_1 = 0.1$, so $m/c_1 = 4$. And $s = 0.016$,
# $c_2 = 0.001$, so $s/c_2 = 16$. The step is $4/4 = 1$ times the rate. **Without the correction** it is
# $0.4/\sqrt{0.016} = 3.16$ times the rate.
# %%


def adam_slow(gradients, rate, corrected=True, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """The steps of one number, one after the other."""
    mean, square, moved = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g**2
        c1 = 1 - beta1**t if corrected else 1
        c2 = 1 - beta2**t if corrected else 1
        moved.append(rate * (mean / c1) / (np.sqrt(square / c2) + epsilon))
    return np.array(moved)


print("Adam, gradient always 4:       ", adam_slow([4] * 4, 1.0).round(3))
print("  without the corrections:     ", adam_slow([4] * 4, 1.0, corrected=False).round(3))
print("Adam, gradients 4, −4, 4, −4:  ", adam_slow([4, -4, 4, -4], 1.0).round(3))
assert np.allclose(adam_slow([4] * 50, 1.0), 1)
assert np.isclose(adam_slow([4], 1.0, corrected=False)[0], np.sqrt(10))

# %% [markdown]
# A gradient that keeps its sign gives whole steps. One that changes its sign gives small ones: the mean is near 0, the root of
# the mean square is not.
#
# ## The package's version
#
# Both are one `Rule` with other constants: $m \leftarrow \beta_1 m + (1 - \beta_1) g$ and
# $s \leftarrow \beta_2 s + \gamma g^2$. Adagrad is the rule with $\beta_1 = 0$ (the "mean" is the gradient itself) and
# $\beta_2 = \gamma = c_2 = 1$ (a sum). `Adaptive(rule, params, 0, 1.0, 1.0, {})` follows a rule: from step 0, with a table
# scale of 1 (below), the same rate for tables as for the rest, and no moments yet. A parameter's name says what it is: rows
# of `table.…` may wait (below), `self.F.b1` is a plain bias. We give it random gradients, and the slow versions the same,
# number by number.
# %%
print(ADAM, ADAGRAD, sep="\n")
rng = np.random.default_rng(28)
history = rng.standard_normal((30, 5))  # 30 steps of a parameter of 5 numbers
for rule, slow in ((ADAM, adam_slow), (ADAGRAD, adagrad_slow)):
    params = {"self.F.b1": np.zeros(5)}
    optimizer = Adaptive(rule, params, 0, 1.0, 1.0, {})
    for g in history:
        optimizer.apply(params, {"self.F.b1": g}, 0.1, 0.0)
    expected = [-slow(history[:, i], 0.1).sum() for i in range(5)]
    assert relative_error(params["self.F.b1"], np.array(expected)) < 1e-13

# %% [markdown]
# ## Now a table: rows that the batch has not seen
#
# A table has 63,001 rows and a batch touches some 50. For all others $g = 0$. What should happen to them?
#
# **Adagrad**: nothing. $s + 0^2 = s$, and the step is $0/\sqrt{s} = 0$. So leaving out the rows without a gradient is
# **exact**.
#
# **Adam**: the formula still wants work. $m$ becomes $0.9\,m$, not 0, and so $w$ moves on, for many steps after the gradient.
# That is the momentum. Done by the letter, each step writes the whole table and both moments: 63,001 rows in place of 50.
# The package leaves these rows alone, as `torch.optim.SparseAdam` does: their moments **wait**. This is another rule, not a
# faster way to the same numbers. (The decay of lesson 15 was different: there the lazy step was exact.)
#
# How different? One row has the gradient 1 in step 1, and then none for 200 steps:
# %%


def adam_table(gradients, ids, V, rate, lazy):  # steps of [R] with ids [R] -> w [V] after each step
    """A table of V numbers. Each step has gradients of some rows, ids sorted and each once; all other rows have 0."""
    w, mean, square, path = np.zeros(V), np.zeros(V), np.zeros(V), []
    for t, (g_rows, rows) in enumerate(zip(gradients, ids), start=1):
        g = np.zeros(V)
        g[rows] = g_rows
        for i in range(V):
            if lazy and i not in rows:
                continue
            mean[i] = 0.9 * mean[i] + 0.1 * g[i]
            square[i] = 0.999 * square[i] + 0.001 * g[i] ** 2
            w[i] -= rate * (mean[i] / (1 - 0.9**t)) / (np.sqrt(square[i] / (1 - 0.999**t)) + 1e-8)
        path.append(w.copy())
    return np.array(path)


nothing = [np.zeros(0)] * 200
nowhere = [np.zeros(0, int)] * 200
once = adam_table([np.ones(1), *nothing], [np.array([0]), *nowhere], 1, 1.0, lazy=False)[:, 0]
waits = adam_table([np.ones(1), *nothing], [np.array([0]), *nowhere], 1, 1.0, lazy=True)[:, 0]
print(f"one gradient, 200 steps without: the lazy row has moved by {waits[-1]:.2f} rates, the dense one by {once[-1]:.2f}")
assert np.isclose(waits[-1], -1) and once[-1] < -3

# %% [markdown]
# The same over a random history: six rows, of which each batch has one to three. The package against the lazy loop, and the
# lazy loop against the dense one. With Adagrad's rule, lazy and dense must agree.
# %%
V, steps = 6, 60
ids = [np.sort(rng.permutation(V)[: rng.integers(1, 4)]) for _ in range(steps)]
values = [rng.standard_normal(len(rows)) for rows in ids]
lazy = adam_table(values, ids, V, 0.1, lazy=True)[-1]
dense = adam_table(values, ids, V, 0.1, lazy=False)[-1]
table = {"table.item": np.zeros((V, 1))}
optimizer = Adaptive(ADAM, table, 0, 1.0, 1.0, {})
for rows, g in zip(ids, values):
    optimizer.apply(table, {"table.item": Rows(rows, g[:, None])}, 0.1, 0.0)
assert relative_error(table["table.item"][:, 0], lazy) < 1e-12
print(f"Adam on rows: the package equals the lazy loop; lazy and dense differ by {relative_error(lazy, dense):.2f}")
assert relative_error(lazy, dense) > 0.1

of_rows, of_all = {"table.item": np.zeros((V, 1))}, {"self.W": np.zeros((V, 1))}
by_rows, by_all = (Adaptive(ADAGRAD, params, 0, 1.0, 1.0, {}) for params in (of_rows, of_all))
for rows, g in zip(ids, values):
    whole = np.zeros((V, 1))
    whole[rows, 0] = g
    by_rows.apply(of_rows, {"table.item": Rows(rows, g[:, None])}, 0.1, 0.0)
    by_all.apply(of_all, {"self.W": whole}, 0.1, 0.0)
assert relative_error(of_rows["table.item"], of_all["self.W"]) < 1e-14
print("Adagrad: rows alone and the whole table agree")

# %% [markdown]
# One detail. $c_1$ and $c_2$ go by the number of **all** steps, also for a row that is seen for the first time. At a late
# first visit they are near 1, so nothing is corrected: that row's first step is up to 3.16 times the rate. PyTorch's
# SparseAdam does the same. For a rare object this is no bad start.
# %%
late = {"table.item": np.zeros((2, 1))}
optimizer = Adaptive(ADAM, late, 10_000, 1.0, 1.0, {})
optimizer.apply(late, {"table.item": Rows(np.array([1]), np.array([[4.0]]))}, 1.0, 0.0)
print(f"first visit of a row at step 10,001: it moves by {-late['table.item'][1, 0]:.2f} rates")
assert abs(-late["table.item"][1, 0] - np.sqrt(10)) < 0.01

# %% [markdown]
# ## Decay: beside the gradient, not in it
#
# With SGD it makes no difference whether $\lambda w$ is added to the gradient or $w$ is multiplied by $1 - rate\,\lambda$.
# With Adam it does. In the gradient, $\lambda w$ would be divided by $\sqrt s$ as well. So numbers with large gradients would
# hardly decay. And each row would have a gradient in every step, so no row could wait. The package multiplies (Loshchilov and
# Hutter, 2019, call it **decoupled**):
#
# $$ w \leftarrow (1 - rate\,\lambda)\, w - rate \cdot \text{direction} $$
#
# Lesson 15's trick works again. The table is stored as $v = w/s$ with one number $s$ (`table_scale`, not the square here).
# All rows decay by one multiplication, and a row of the batch gets $v \leftarrow v - (rate/s')\,\cdot$ direction. The moments
# are of gradients by $w$, so they do not know of the scale.
# %%
stored, meant = {"table.item": np.ones((V, 1))}, {"table.item": np.ones((V, 1))}
scaled, plain = (Adaptive(ADAM, params, 0, 1.0, 1.0, {}) for params in (stored, meant))
for rows, g in zip(ids, values):
    gradient = {"table.item": Rows(rows, g[:, None])}
    scaled.apply(stored, gradient, 0.1, 0.5)
    meant["table.item"] *= 1 - 0.1 * 0.5  # the dense way: every row, every step
    plain.apply(meant, gradient, 0.1, 0.0)
assert relative_error(unscaled(stored, scaled.table_scale)["table.item"], meant["table.item"]) < 1e-12

left_over = {"in the gradient": {}, "beside it": {}}
for size in (0.01, 100.0):  # gradients of this size, with random signs, for 300 steps; w begins at 10
    for seed in range(5):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], 300)
        for place in left_over:
            params = {"self.F.b1": np.array([10.0])}
            optimizer = Adaptive(ADAM, params, 0, 1.0, 1.0, {})
            for sign in signs:
                w = params["self.F.b1"]
                g = size * sign
                if place == "in the gradient":
                    g = g + 1.0 * w
                else:
                    w *= 1 - 0.01 * 1.0
                optimizer.apply(params, {"self.F.b1": np.ones(1) * g}, 0.01, 0.0)
            left_over[place].setdefault(size, []).append(params["self.F.b1"][0])
for place, by_size in left_over.items():
    small, large = (np.array(values_of) for values_of in by_size.values())
    print(f"decay {place}: 10 falls to {small.mean():.2f} with small gradients, to {large.mean():.2f} with large ones")
    differ = large - small
    assert (differ > 1).all() if place == "in the gradient" else (np.abs(differ) < 0.5).all()

# %% [markdown]
# ## What it brings: rare rows
#
# 200 rows, and row $i$ is drawn in proportion to $1/i$, as objects in a shop are. Each has a target, and its gradient is
# $k_i\,(w_i - target_i + noise)$. The factor $k_i$ is 0.1, 1 or 10: some features matter more to the loss than others. 20
# draws a step, 1,000 steps. Each optimiser gets the best of its own rates, by the error over all rows; four seeds.
# %%
ROWS, DRAWS, STEPS = 200, 20, 1000
RATES = {"SGD": (0.01, 0.03, 0.1, 0.2), "Adagrad": (0.1, 0.3, 1.0, 3.0), "Adam": (0.003, 0.01, 0.03, 0.1)}


def rare_rows(name, rate, seed):  # -> of each row [ROWS]: its error, how often it was drawn, its factor
    rng = np.random.default_rng([28, seed])
    target, factor = rng.standard_normal(ROWS), rng.choice([0.1, 1, 10], ROWS)
    often = 1 / np.arange(1.0, ROWS + 1)
    draws = rng.choice(ROWS, size=(STEPS, DRAWS), p=often / often.sum())
    noise = rng.standard_normal((STEPS, DRAWS))
    params = {"table.row": np.zeros((ROWS, 1))}
    rule = {"Adagrad": ADAGRAD, "Adam": ADAM}.get(name)
    optimizer = Adaptive(rule, params, 0, 1.0, 1.0, {}) if rule else SGD()
    for rows, noises in zip(draws, noise):
        g = factor[rows] * (params["table.row"][rows, 0] - target[rows] + 0.5 * noises)
        optimizer.apply(params, {"table.row": sum_rows(rows, g[:, None])}, rate, 0.0)
    return (params["table.row"][:, 0] - target) ** 2, np.bincount(draws.ravel(), minlength=ROWS), factor


SEEDS = range(4)
best, by_row = {}, {}
for name, rates in RATES.items():
    runs, means = {}, {}
    for rate in rates:
        with np.errstate(all="ignore"):  # a rate that is too high ends in NaN
            runs[rate] = [rare_rows(name, rate, seed) for seed in SEEDS]
        means[rate] = np.nan_to_num(np.mean([error.mean() for error, _, _ in runs[rate]]), nan=np.inf)
    rate = min(means, key=means.get)
    best[name] = np.array([error.mean() for error, _, _ in runs[rate]])
    by_row[name] = np.mean([error for error, _, _ in runs[rate]], axis=0)
    print(f"{name:8} rate {rate:5}: mean squared error by seed {best[name].round(3)}")
    assert name != "SGD" or np.isinf(means[0.2])
    small, large = (np.array([error[factor == k].mean() for error, _, factor in runs[rate]]) for k in (0.1, 1))
    print(f"         of the rows with the factor 0.1: {small.round(3)}, with the factor 1: {large.round(3)}")
    assert name != "SGD" or (small > 3 * large).all()
    assert rate not in (rates[0], rates[-1])  # so the best rate is inside the range that was tried
visits = np.mean([count for _, count, _ in runs[rate]], axis=0)
assert (best["Adagrad"] < 0.3 * best["SGD"]).all() and (best["Adam"] < 0.4 * best["SGD"]).all()

# %% [markdown]
# In all four seeds the error of SGD is more than twice Adam's and three times Adagrad's. SGD's rate is held down by the row
# with the factor 10 that is drawn most: at 0.2 it ends in NaN. The rows with the factor 0.1 then learn little. Adagrad's
# rate of a row falls with **its own** visits, and the factor $k_i$ cancels out.
#
# **Does it help ATRank?** Not here, and not by itself. On Beauty, Adam's best AUC was 0.8405 and SGD's 0.8502; on JD 0.9361
# and 0.9399 (validation, a run each, `atrank_np/departures/paper.py`). A likely reason, which is not proved: layer norm keeps
# ATRank's gradients at one scale, and SGD's high rate of 0.5 serves rare rows too. The default is SGD, as in the paper. With
# the softmax loss of lesson 27, Adam is what the preset has.
#
# ## The price
#
# SGD keeps nothing. Adagrad keeps one number beside each parameter, Adam two. So with Adam a table takes three times its
# memory, and a step reads and writes three rows where SGD has one.
#
# ## The picture
#
# Left: the gradient is always the same; how far each rule has gone, in rates. (SGD's line depends on the gradient, here 0.25;
# the others' do not.) Middle: one gradient and then none, by Adam. Right: the error of each row by its visits, as a mean over
# rows with about the same number of visits.
# %%
with figure("28_adam_on_rows", columns=3, size=(13, 4)) as (fig, axes):
    left, middle, right = axes
    t = np.arange(1, 41)
    left.plot(t, 0.25 * t, "C0", label="SGD, gradient 0.25")
    left.plot(t, np.cumsum(adagrad_slow([0.25] * 40, 1.0)), "C2", label="Adagrad")
    left.plot(t, np.cumsum(adam_slow([0.25] * 40, 1.0)), "C3", label="Adam")
    left.plot(t, np.cumsum(adam_slow([0.25] * 40, 1.0, corrected=False)), "C3--", label="Adam, not corrected")
    left.set(title="a constant gradient", xlabel="step", ylabel="distance, in rates", ylim=(0, 100))
    left.legend(loc="upper right", fontsize=9)
    middle.plot(np.arange(1, 81), -once[:80], "C3", label="the formula, every step")
    middle.plot(np.arange(1, 81), -waits[:80], "C1", label="the row waits (the package)")
    middle.set(title="Adam: one gradient in step 1, then none", xlabel="step", ylabel="distance, in rates", ylim=(0, 7))
    middle.legend(loc="center right", fontsize=9)
    edges = np.geomspace(visits.min(), visits.max() + 1, 8)
    for name, colour in zip(RATES, ("C0", "C2", "C3")):
        middles, errors = [], []
        for low, high in zip(edges[:-1], edges[1:]):
            own = (visits >= low) & (visits < high)
            if own.any():
                middles.append(visits[own].mean())
                errors.append(by_row[name][own].mean())
        right.loglog(middles, errors, "o-", color=colour, label=name)
    right.set(title="200 rows, mean over four seeds", xlabel="how often a row was drawn", ylabel="squared error")
    right.legend(loc="lower left", fontsize=9)

# %% [markdown]
# ## What people get wrong
#
# 1. **Squares of the parts in place of the square of the sum.** A row that stands three times in a batch has ONE gradient, the
#    sum. Its square is not the sum of the three squares. So `sum_rows` comes before the rule.
# 2. **$\epsilon$ inside the root.** $\sqrt{s + \epsilon}$ with $\epsilon$ = 1e-8 is at least 1e-4. That is no tiny number:
#    the gradient of a mean loss by one row may well be below it.
# 3. **No correction**, or $t$ that begins at 0: then $c_1 = 0$, and the first step is a division by 0.
# 4. **Adam's rate taken from SGD.** An SGD step is rate × gradient; an Adam step is about the rate itself, whatever the
#    gradient. With 0.5, the default for SGD, each number would move by 0.5 a step. Tables begin with a spread of 0.1.
# %%
parts = np.array([1.0, 1, 1])
together = sum_rows(np.zeros(3, int), parts[:, None]).values[0, 0]
print(f"1. three gradients of 1 in a batch: s grows by {together**2:.0f}, not by {(parts**2).sum():.0f}")
tiny = adam_slow([1e-5], 1.0)[0]
inside = 1e-5 / np.sqrt(1e-5**2 + 1e-8)
print(f"2. first step for a gradient of 1e-5: {tiny:.2f} rates; with ε inside the root {inside:.2f}")
print(f"3. first step without the corrections: {adam_slow([4], 1.0, corrected=False)[0]:.2f} rates")
for g in (0.001, 0.1):
    print(f"4. gradient {g}: a step of SGD at rate 0.5 is {0.5 * g}, of Adam {adam_slow([g], 0.5)[0]:.3f}")
assert together**2 == 9 and tiny > 0.99 and inside < 0.2

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 28` (from the repository's root). First RMSprop: Adam without the mean of the gradients.
# Can **its** rows wait and yet be exact? Then a stranger's Adam that is wrong in some batches only.
# %%
print("lesson 28 done: Adagrad's rows may wait and stay exact, Adam's may not; decay stands beside the gradient")
