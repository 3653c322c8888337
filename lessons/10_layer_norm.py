# %% [markdown]
# # Lesson 10. Layer normalisation: three roads
#
# *Before it: lesson 02 (numeric derivatives, and why the upstream gradient is random). About 30 minutes.*
#
# Stacked layers let numbers grow or shrink from one to the next. Layer normalisation, the last step of $F_{self}$ in (6), brings
# every row back to mean 0 and variance 1, then lets the model choose a scale and a shift for each column:
#
# $$ y_j = g_j\, \frac{x_j - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b_j \qquad
#    \mu = \frac1D \sum_j x_j \qquad \sigma^2 = \frac1D \sum_j (x_j - \mu)^2 $$
#
# $g$ is the gain, $b$ the bias, both $[D]$; $\varepsilon = 10^{-5}$ keeps a constant row from dividing by zero. The backward
# pass has three terms. The third is the one that gets forgotten, and a careless check does not notice.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error
from atrank_np.layers.feedforward import EPSILON, layer_norm_backward, layer_norm_forward


# %% [markdown]
# ## The slow version, symbol by symbol
# %%
def layer_norm_slow(x, gain, bias):  # [N,D], [D], [D] -> [N,D]
    y = np.zeros_like(x)
    for i, row in enumerate(x):
        mu = sum(row) / len(row)
        variance = sum((value - mu) ** 2 for value in row) / len(row)
        for j, value in enumerate(row):
            y[i, j] = gain[j] * (value - mu) / np.sqrt(variance + EPSILON) + bias[j]
    return y


rng = np.random.default_rng(10)
x, dy = rng.standard_normal((3, 7)), rng.standard_normal((3, 7))  # dy: the upstream gradient, random
gain, bias = 1 + 0.5 * rng.standard_normal(7), rng.standard_normal(7)
y, cache = layer_norm_forward(x, gain, bias)
assert relative_error(layer_norm_slow(x, gain, bias), y) < 1e-14

# %% [markdown]
# ## In atoms
#
# Each line of the forward pass is one step. Watch `centred`: it is used for the variance **and** for the result.
# %%
mu = x.mean(1, keepdims=True)
centred = x - mu
variance = (centred**2).mean(1, keepdims=True)
rstd = 1 / np.sqrt(variance + EPSILON)
normed = centred * rstd
y = normed * gain + bias

dnormed = dy * gain  # y = normed g + b
dgain, dbias = (dy * normed).sum(0), dy.sum(0)  # every row uses the same gain and bias: their shares add up
drstd = (dnormed * centred).sum(1, keepdims=True)  # normed = centred rstd: one rstd for the whole row
dvariance = drstd * -0.5 * rstd**3  # rstd = (variance + ε)^(-1/2)
dcentred = dnormed * rstd + dvariance * 2 * centred / x.shape[1]  # two uses of centred: normed, and the variance
dmu = -dcentred.sum(1, keepdims=True)  # centred = x - mu
dx = dcentred + dmu / x.shape[1]  # two uses of x: centred, and the mean

loss = lambda y: (dy * y).sum()
from_centred = lambda c: loss(c / np.sqrt((c**2).mean(1, keepdims=True) + EPSILON) * gain + bias)
slow = lambda _: loss(layer_norm_slow(x, gain, bias))
assert scoreboard(
    ("normed", dnormed, normed, lambda normed: loss(normed * gain + bias)),
    ("rstd", drstd, rstd, lambda rstd: loss(centred * rstd * gain + bias)),
    ("variance", dvariance, variance, lambda variance: loss(centred / np.sqrt(variance + EPSILON) * gain + bias)),
    ("centred", dcentred, centred, from_centred),
    ("mean", dmu, mu, lambda mu: from_centred(x - mu)),
    *[("x", dx, x, slow), ("gain", dgain, gain, slow), ("bias", dbias, bias, slow)],
)

# %% [markdown]
# ## Collapsed to one line: three roads
#
# Put `drstd` and `dvariance` into `dcentred`. With `normed` = `centred` · `rstd` the powers of `rstd` all but vanish:
#
# $$ dcentred = rstd\,\big(dnormed - normed \cdot \mathrm{mean}(dnormed \circ normed)\big) $$
#
# The last step takes the row's mean away; `normed` has mean 0, so only `dnormed` has one:
#
# $$ dx = rstd\,\big(\underbrace{dnormed}_{\text{the number itself}} - \underbrace{\mathrm{mean}(dnormed)}_{\text{through } \mu}
#    - \underbrace{normed \cdot \mathrm{mean}(dnormed \circ normed)}_{\text{through } \sigma}\big) $$
# %%
mean_road = dnormed.mean(1, keepdims=True)
deviation_road = normed * (dnormed * normed).mean(1, keepdims=True)
assert relative_error(rstd * (dnormed - mean_road - deviation_road), dx) < 1e-13
for mine, theirs in zip((dx, dgain, dbias), layer_norm_backward(dy, cache)):  # the package's version
    assert relative_error(mine, theirs) < 1e-13

# %% [markdown]
# What the roads do: shifting a row or (but for $\varepsilon$) stretching it changes nothing in `y`. So `dx` has no part along
# (1, …, 1) and none along `normed`. The two roads take exactly these two parts away.
# %%
assert np.abs(dx.sum(1)).max() < 1e-13
assert np.abs((dx * normed).sum(1)).max() < 1e-3 * np.abs(dx).max()  # not exactly 0: this is ε at work

# %% [markdown]
# ## With a pencil
#
# $x = (2, 2, 8, 8)$: mean 5, centred (−3, −3, 3, 3), variance 9, deviation 3, normed (−1, −1, 1, 1). Gain 1.
# Let $dy = (4, 0, 0, 0)$. Mean road: 1. Mean of dnormed ∘ normed: −4/4 = −1, so the deviation road is (1, 1, −1, −1).
# Then $dx$ = (4−1−1, 0−1−1, 0−1+1, 0−1+1) / 3 = (2, −2, 0, 0) / 3. ($\varepsilon$ moves it by a millionth.)
# %%
_, pencil = layer_norm_forward(np.array([[2.0, 2, 8, 8]]), np.ones(4), np.zeros(4))
pencil_dx, _, _ = layer_norm_backward(np.array([[4.0, 0, 0, 0]]), pencil)
print("normed", pencil[0][0].round(3), "  3 dx", (3 * pencil_dx[0]).round(3))
assert np.allclose(3 * pencil_dx, [[2, -2, 0, 0]], atol=1e-5)

# %% [markdown]
# ## The picture
#
# Left: rows of three numbers, seen along (1, 1, 1): after normalisation they lie on a circle. A row can only move along it, so
# `dx` (blue) is what remains of `dnormed` (grey) along the circle. Right: the variance, near 1, of rows far from zero,
# in float32: two passes stay right; E[x²] − E[x]² subtracts two huge, nearly equal numbers and loses every digit.
# %%
with figure("10_layer_norm", columns=2, size=(11, 4.6)) as (fig, axes):
    plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions at right angles to (1, 1, 1)
    circle = lambda turns, radius: radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    rows, upstream = circle(np.arange(7) * 0.9, 1.7) @ plane, circle(np.array([0.3, 2.1, 0.6, 3, 5.4, 5.9, 4]), 1.3) @ plane
    points, picture_cache = layer_norm_forward(rows, np.ones(3), np.zeros(3))
    flat, along, tangent = points @ plane.T, upstream @ plane.T, layer_norm_backward(upstream, picture_cache)[0]
    tangent = (tangent / picture_cache[1]) @ plane.T  # without rstd, to compare lengths
    turn = np.linspace(0, 2 * np.pi, 200)
    axes[0].plot(*circle(turn, np.sqrt(3)).T, "0.8")
    for arrows, color, words in ((along, "0.65", "dnormed − mean road"), (tangent, "C0", "… − deviation road: dx / rstd")):
        axes[0].quiver(*flat.T, *arrows.T, color=color, angles="xy", scale_units="xy", scale=1, width=0.008, label=words)
    axes[0].plot(*flat.T, "ko", ms=4)
    axes[0].set(aspect="equal", xlim=(-3.2, 3.2), ylim=(-2.8, 3.4), title="normed rows, D = 3")
    axes[0].legend(loc="upper left", fontsize=8)
    away, sample = np.logspace(0, 6, 25), np.random.default_rng(0).standard_normal(128)
    shifted = [(sample + a).astype(np.float32) for a in away]
    one_pass, two_passes = (lambda v: (v**2).mean() - v.mean() ** 2), (lambda v: ((v - v.mean()) ** 2).mean())
    for variance_of, color, words in ((one_pass, "C3o-", "E[x²] − E[x]²"), (two_passes, "C0o-", "two passes")):
        errors = [abs(variance_of(v) - v.astype(np.float64).var()) for v in shifted]
        axes[1].loglog(away, np.maximum(errors, 1e-8), color, label=words)
    axes[1].axhline(1, color="k", lw=0.8, ls="--", label="as large as the variance")
    axes[1].set(title="error of a variance near 1, in float32", xlabel="how far the row lies from 0", ylim=(1e-8, None))
    axes[1].legend()

# %% [markdown]
# ## What people get wrong
# %%
two_roads = lambda dy, gain: rstd * (dy * gain - (dy * gain).mean(1, keepdims=True))  # 1. the third term forgotten …
ones, flat_gain = np.ones_like(x), np.ones(7)
seen = lambda dy: numeric_gradient(lambda x: (dy * layer_norm_slow(x, flat_gain, 0 * bias)).sum(), x)
print(
    f"1. without the third term, upstream ones:   largest difference {np.abs(two_roads(ones, flat_gain) - seen(ones)).max():.0e}"
)
print(f"   without the third term, upstream random: largest difference {np.abs(two_roads(dy, flat_gain) - seen(dy)).max():.1f}")
assert np.abs(two_roads(ones, flat_gain) - seen(ones)).max() < 1e-9 and relative_error(two_roads(dy, flat_gain), seen(dy)) > 0.1

constant = dnormed * rstd  # 2. mean and deviation taken for constants
print(f"2. mean and deviation as constants: error {relative_error(constant, dx):.2f}, sums of rows {constant.sum(1).round(1)}")
assert relative_error(constant, dx) > 0.1

columns = (x - x.mean(0)) / x.std(0)  # 3. the wrong axis: that is batch normalisation, and strangers change your row
print("3. means of rows, normalised down the columns:", columns.mean(1).round(2))

huge = np.float32(4096) + np.arange(4, dtype=np.float32)  # 4. the variance in one pass
print(f"4. variance of 4096 … 4099: true 1.25, E[x²] − E[x]² in float32 gives {(huge**2).mean() - huge.mean() ** 2}")
assert abs((huge**2).mean() - huge.mean() ** 2 - 1.25) > 0.2 and ((huge - huge.mean()) ** 2).mean() == 1.25

# %% [markdown]
# ## Your turn
#
# The three roads by your own hand, and a variance that keeps its digits: `python -m lessons.exercises check 10` (from
# the repository's root).
# %%
print("lesson 10 done: layer norm backward by three roads; the third is invisible to an upstream of ones")
