# %% [markdown]
# # Lesson 10. Layer normalisation, and the three terms of its gradient
#
# *Before it: lesson 02 (numeric derivatives, and why the upstream gradient is random). About 40 minutes.*
#
# Where many layers follow each other, numbers grow or shrink from layer to layer. Layer normalisation is the last step of
# $F_{self}$ in (6). It shifts and scales every row so that its numbers have mean 0 and variance 1. Then each column gets a
# factor and a summand of its own, which are trained.
#
# Note what is normalised: a row by its own numbers. Nothing depends on the other rows of the batch, so a user gets the same
# scores alone and among others, in training and in use. (Batch normalisation takes the means down the columns, and does not
# have this property.) It also fixes how long a row can be: $D$ numbers of variance 1 have the squared length $D$, and lesson
# 15 builds on that.
#
# Its gradient has three terms. The third one is often forgotten, and a careless check does not notice.
#
# **Conventions.** $dZ$ is $\partial L/\partial Z$: it has the shape of $Z$, and $dZ_{ij}$ says how fast the loss $L$ grows
# with the one number $Z_{ij}$. We make a loss of our own, $L = \sum_{ij} dy_{ij}\, y_{ij}$, with random numbers $dy$ (the
# upstream gradient): its derivative by $y$ is $dy$. $A \circ B$ multiplies entry by entry. `relative_error(A, B)` is the
# largest difference divided by the largest entry. `scoreboard` takes rows (name, our gradient, array, rest of the computation
# as a function of that array), and compares with numeric derivatives.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error
from atrank_np.layers.feedforward import EPSILON, layer_norm_backward, layer_norm_forward


# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# The row (2, 2, 8, 8) has the mean 5. Its distances from the mean are (−3, −3, 3, 3), their mean square, the variance, is 9,
# and the deviation is 3. Divided by it the row becomes (−1, −1, 1, 1).
#
# Let $L$ be 4 times the first of these four. How fast does $L$ grow if the first number, 2, grows by a little $h$?
#
# * The number itself: $4 · h / 3$. That is the first term.
# * But the mean grows too, by $h/4$, and the first number's distance from it grows less: minus $4 · \frac{h}{4} / 3$. That is
#   the second term.
# * And the deviation changes: 2 comes nearer to the others, so the deviation shrinks, and −3, which is divided by it, moves
#   away from 0: $L$ falls. That is the third term.
#
# The sum is 4 − 1 − 1 = 2, divided by 3. The same for the second number: 0 − 1 − 1 = −2, divided by 3. The third: 0 − 1 + 1 =
# 0. Let us try it.
# %%
def first_times_four(row):
    centred = row - row.mean()
    deviation = np.sqrt((centred**2).mean())
    return 4 * centred[0] / deviation


row = np.array([2.0, 2.0, 8.0, 8.0])
slopes = numeric_gradient(first_times_four, row)
print("3 times the numeric slopes:", (3 * slopes).round(6))
assert np.allclose(3 * slopes, [2, -2, 0, 0])


# %% [markdown]
# ## The equation
#
# $$ y_j = g_j\, \frac{x_j - \mu}{\sqrt{\sigma^2 + \varepsilon}} + b_j \qquad
#    \mu = \frac1D \sum_j x_j \qquad \sigma^2 = \frac1D \sum_j (x_j - \mu)^2 $$
#
# $g$ is the gain and $b$ the bias, both $[D]$, the same for all rows. $\varepsilon = 10^{-5}$ prevents a division by zero for
# a row of equal numbers. The slow version, symbol by symbol:
# %%
def layer_norm_slow(x, gain, bias):  # [N,D], [D], [D] -> [N,D]
    N, D = x.shape
    y = np.zeros((N, D))
    for i in range(N):
        mu = 0.0
        for j in range(D):
            mu += x[i, j] / D
        variance = 0.0
        for j in range(D):
            variance += (x[i, j] - mu) ** 2 / D
        for j in range(D):
            y[i, j] = gain[j] * (x[i, j] - mu) / np.sqrt(variance + EPSILON) + bias[j]
    return y


rng = np.random.default_rng(10)
N, D = 3, 7
x = rng.standard_normal((N, D))
dy = rng.standard_normal((N, D))  # the upstream gradient
gain = 1 + 0.5 * rng.standard_normal(D)
bias = rng.standard_normal(D)

# %% [markdown]
# ## Forward, one step a line
#
# `keepdims` keeps the row's mean as a column $[N, 1]$, so that it can be subtracted from the rows. `rstd` is one over the
# deviation.
# %%
mu = x.mean(1, keepdims=True)  # F1 [N,1]
centred = x - mu  # F2 [N,D]
variance = (centred**2).mean(1, keepdims=True)  # F3 [N,1]
rstd = 1 / np.sqrt(variance + EPSILON)  # F4 [N,1]
normed = centred * rstd  # F5 [N,D]
y = normed * gain + bias  # F6 [N,D]
assert relative_error(y, layer_norm_slow(x, gain, bias)) < 1e-14


# %% [markdown]
# Who uses what? `normed`, `rstd`, `variance`, `mu` are used once. `centred` is used **twice**: for the variance (F3) and for
# the result (F5). `x` is used twice: for the mean (F1) and for the distances (F2). What is used twice gets the sum of two
# gradients.
#
# ## B6. $y_{ij} = normed_{ij}\, g_j + b_j$
#
# $normed_{ij}$ stands in one entry, with the slope $g_j$. The gain $g_j$ stands in column $j$ of every row, so the chain rule
# sums over the rows; so does the bias, with slope 1:
#
# $$ dnormed_{ij} = dy_{ij}\, g_j \qquad dg_j = \sum_i dy_{ij}\, normed_{ij} \qquad db_j = \sum_i dy_{ij} $$
# %%
def whole(_):  # the scoreboard moves one of the arrays that are read here
    return (dy * layer_norm_slow(x, gain, bias)).sum()


def from_normed(normed):
    return (dy * (normed * gain + bias)).sum()


dnormed = dy * gain
dgain = (dy * normed).sum(0)
dbias = dy.sum(0)
assert scoreboard(("normed", dnormed, normed, from_normed))
assert scoreboard(("gain", dgain, gain, whole), ("bias", dbias, bias, whole))


# %% [markdown]
# ## B5. $normed_{ij} = centred_{ij}\, rstd_i$
#
# There is one $rstd_i$ for the whole row, so it gets a sum over $j$. $centred_{ij}$ gets a first summand; the second comes
# with B3.
#
# $$ drstd_i = \sum_j dnormed_{ij}\, centred_{ij} \qquad\qquad dcentred^{normed}_{ij} = dnormed_{ij}\, rstd_i $$
# %%
def from_rstd(rstd):
    return from_normed(centred * rstd)


drstd = (dnormed * centred).sum(1, keepdims=True)
dcentred_normed = dnormed * rstd
assert scoreboard(("rstd", drstd, rstd, from_rstd))


# %% [markdown]
# ## B4. $rstd_i = (variance_i + \varepsilon)^{-1/2}$
#
# The power rule: the slope is $-\frac12 (variance_i + \varepsilon)^{-3/2} = -\frac12\, rstd_i^3$.
#
# $$ dvariance_i = -\tfrac12\, rstd_i^3\; drstd_i $$
# %%
def from_variance(variance):
    return from_rstd(1 / np.sqrt(variance + EPSILON))


dvariance = -0.5 * rstd**3 * drstd
assert scoreboard(("variance", dvariance, variance, from_variance))


# %% [markdown]
# ## B3. $variance_i = \frac1D \sum_j centred_{ij}^2$
#
# The slope by $centred_{ij}$ is $2\, centred_{ij} / D$. This is the second use of $centred$, so the two summands add up:
#
# $$ dcentred_{ij} = dnormed_{ij}\, rstd_i + dvariance_i\, \frac{2\, centred_{ij}}{D} $$
# %%
def from_centred(centred):  # both uses
    variance = (centred**2).mean(1, keepdims=True)
    return from_normed(centred / np.sqrt(variance + EPSILON))


dcentred_variance = dvariance * 2 * centred / D
dcentred = dcentred_normed + dcentred_variance
assert scoreboard(("centred", dcentred, centred, from_centred))


# %% [markdown]
# ## B2 and B1. $centred_{ij} = x_{ij} - \mu_i$ and $\mu_i = \frac1D \sum_j x_{ij}$
#
# $\mu_i$ stands in the whole row with slope −1. Then each $x_{ij}$ has two uses: in $centred_{ij}$ with slope 1, and in
# $\mu_i$ with slope $1/D$.
#
# $$ d\mu_i = -\sum_j dcentred_{ij} \qquad\qquad dx_{ij} = dcentred_{ij} + \frac{d\mu_i}{D} $$
# %%
def from_mu(mu):
    return from_centred(x - mu)


dmu = -dcentred.sum(1, keepdims=True)
dx = dcentred + dmu / D
assert scoreboard(("mu", dmu, mu, from_mu), ("x", dx, x, whole))

# %% [markdown]
# ## Collapsed to one line
#
# Put the lines into each other. In B3, $drstd$ holds $centred$, and $centred = normed / rstd$:
#
# $$ dvariance_i\, \frac{2\, centred_{ij}}{D}
#    = -rstd_i^3 \Big(\sum_m dnormed_{im}\, centred_{im}\Big) \frac{centred_{ij}}{D}
#    = -rstd_i\; normed_{ij}\; \frac1D \sum_m dnormed_{im}\, normed_{im} $$
#
# The last step takes away the row's mean of $dcentred$. $normed$ has mean 0, so only $dnormed$ has a mean to take away:
#
# $$ dx = rstd\,\big(\underbrace{dnormed}_{\text{the number itself}} - \underbrace{\mathrm{mean}(dnormed)}_{\text{through } \mu}
#    - \underbrace{normed \cdot \mathrm{mean}(dnormed \circ normed)}_{\text{through } \sigma}\big) $$
#
# These are the three terms from the beginning. The package computes this line.
# %%
through_mean = dnormed.mean(1, keepdims=True)
through_deviation = normed * (dnormed * normed).mean(1, keepdims=True)
one_line = rstd * (dnormed - through_mean - through_deviation)
assert relative_error(one_line, dx) < 1e-13

y_package, cache = layer_norm_forward(x, gain, bias)
assert relative_error(y_package, y) < 1e-14
for mine, theirs in zip((dx, dgain, dbias), layer_norm_backward(dy, cache), strict=True):
    assert relative_error(mine, theirs) < 1e-13

# %% [markdown]
# ## What the three terms mean
#
# Add the same number to a whole row: $y$ does not change. Stretch a row: $y$ does not change either (but for $\varepsilon$).
# So $L$ does not change, and $dx$ can have no part along these two directions, which are (1, …, 1) and $normed$. The second
# and the third term take exactly these two parts away.
# %%
print("sums of the rows of dx:", dx.sum(1).round(15))
assert np.abs(dx.sum(1)).max() < 1e-13
along_normed = (dx * normed).sum(1)
print("products of dx and normed:", along_normed.round(7), "(not exactly 0: this is ε)")
assert np.abs(along_normed).max() < 1e-3 * np.abs(dx).max()

# %% [markdown]
# ## Why the check needs a random upstream gradient
#
# Leave the third term away, and check with $dy = 1$ everywhere and gain 1. Then $L$ is the sum of the $normed$. But that sum is
# always 0, so the true gradient is 0. And the wrong formula gives $1 - 1 = 0$ too: it passes. With a random $dy$ it does not.
# We try five draws of rows and of $dy$.
# %%
ones, flat_gain, no_bias = np.ones((N, D)), np.ones(D), np.zeros(D)


def without_third_term(dy, rows):
    _, (_, rstd, _) = layer_norm_forward(rows, flat_gain, no_bias)
    return rstd * (dy - dy.mean(1, keepdims=True))


for seed in range(5):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((N, D))
    random_dy = draw.standard_normal((N, D))
    for name, upstream in (("ones", ones), ("random", random_dy)):

        def loss(rows, upstream=upstream):
            normed, _ = layer_norm_forward(rows, flat_gain, no_bias)
            return (upstream * normed).sum()

        difference = np.abs(without_third_term(upstream, rows) - numeric_gradient(loss, rows)).max()
        print(f"draw {seed}, upstream {name:6}: largest error of the wrong formula {difference:.1e}")
        assert difference < 1e-9 if name == "ones" else difference > 0.1


# %% [markdown]
# ## A variance that keeps its digits
#
# On paper the variance is also $\mathrm{mean}(x^2) - \mathrm{mean}(x)^2$. That needs one pass over the row, not two. But for
# rows far from 0 it subtracts two huge numbers that are nearly equal, and the digits of the difference are lost. The package
# centres the row first. We measure the error in float32, for rows of 128 numbers of variance 1 at a distance from 0, median of
# 20 draws.
# %%
def one_pass(row):
    return (row**2).mean() - row.mean() ** 2


def two_passes(row):
    return ((row - row.mean()) ** 2).mean()


distances = 10.0 ** np.arange(0, 6.1, 0.5)
errors = {one_pass: [], two_passes: []}
for distance in distances:
    for variance_of, found in errors.items():
        of_draws = []
        for seed in range(20):
            row = (np.random.default_rng(seed).standard_normal(128) + distance).astype(np.float32)
            exact = row.astype(np.float64).var()
            of_draws.append(abs(variance_of(row) - exact) / exact)
        found.append(np.median(of_draws))
print(f"distance 10,000: error in one pass {errors[one_pass][8]:.1g}, in two passes {errors[two_passes][8]:.1g}")
assert distances[8] == 10_000 and errors[one_pass][8] > 0.5 and errors[two_passes][8] < 1e-4
assert max(errors[two_passes][:9]) < 1e-4

# %% [markdown]
# ## The picture
#
# Left: rows of three numbers. After normalisation they have mean 0 and length $\sqrt 3$: they lie on a circle (seen from the
# direction (1, 1, 1)). A change of $x$ can move a row along the circle only. Grey: $dnormed$ without its mean. Dashed: what
# the third term takes away. Blue: what is left, $dx$ without the factor $rstd$. It always points along the circle. Right: the
# variance.
# %%
plane = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2], [6]])  # two directions at right angles to (1, 1, 1)
angles = np.array([0.5, 2.6, 4.5])
on_circle = np.sqrt(3) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
upstream = np.array([[0.3, 1.5], [-1.4, -0.2], [1.3, -0.9]])
_, (points, _, _) = layer_norm_forward(on_circle @ plane, np.ones(3), np.zeros(3))
grey = upstream @ plane  # its mean is 0 already
blue = grey - points * (grey * points).mean(1, keepdims=True)
with figure("10_layer_norm", columns=2, size=(11, 4.8)) as (fig, axes):
    turn = np.linspace(0, 2 * np.pi, 200)
    axes[0].plot(np.sqrt(3) * np.cos(turn), np.sqrt(3) * np.sin(turn), "0.8")
    flat, flat_grey, flat_blue = points @ plane.T, grey @ plane.T, blue @ plane.T
    for arrows, colour, words in ((flat_grey, "0.6", "dnormed − its mean"), (flat_blue, "C0", "dx / rstd")):
        axes[0].quiver(
            *flat.T, *arrows.T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.008, label=words, zorder=3
        )
    for i in range(3):
        ends = np.stack([flat[i] + flat_grey[i], flat[i] + flat_blue[i]])
        axes[0].plot(*ends.T, "C3--", lw=1.2, label="taken away by the third term" if i == 0 else None)
    axes[0].plot(*flat.T, "ko", ms=5, label="rows, normed")
    axes[0].set(aspect="equal", xlim=(-3.4, 3.4), ylim=(-3.2, 3.9), title="three rows of three numbers, seen along (1, 1, 1)")
    axes[0].set(xticks=[], yticks=[])
    axes[0].spines[:].set_visible(False)
    axes[0].legend(loc="upper left", fontsize=8, ncols=2)
    axes[1].loglog(distances, np.maximum(errors[one_pass], 1e-8), "C3o-", label="mean(x²) − mean(x)²")
    axes[1].loglog(distances, np.maximum(errors[two_passes], 1e-8), "C0o-", label="two passes")
    axes[1].axhline(1, color="k", lw=0.8, ls="--")
    axes[1].text(1.2, 1.4, "as large as the variance", fontsize=9)
    axes[1].set(title="float32, median of 20 draws", xlabel="distance of the row from 0", ylabel="relative error of the variance")
    axes[1].legend(loc="center right", bbox_to_anchor=(1, 0.4))

# %% [markdown]
# ## What people get wrong
# %%
two_terms = rstd * (dnormed - through_mean)  # 1. the third term forgotten
print(f"1. without the third term: error {relative_error(two_terms, dx):.2f}")
assert relative_error(two_terms, dx) > 0.1

constant = dnormed * rstd  # 2. mean and deviation taken for constants
print(f"2. mean and deviation as constants: error {relative_error(constant, dx):.2f}; rows sum to {constant.sum(1).round(1)}")
assert relative_error(constant, dx) > 0.1

columns = (x - x.mean(0)) / x.std(0)  # 3. the wrong axis: that is batch normalisation
print("3. normalised down the columns, the rows' means are", columns.mean(1).round(2), "and depend on the other rows")
assert np.abs(columns.mean(1)).max() > 0.1

huge = np.float32(4096) + np.arange(4, dtype=np.float32)  # 4. the variance in one pass
print(f"4. variance of 4096 … 4099: true 1.25, mean(x²) − mean(x)² in float32 gives {one_pass(huge)}")
assert abs(one_pass(huge) - 1.25) > 0.2 and two_passes(huge) == 1.25

# %% [markdown]
# ## Your turn
#
# The exercise has another norm, RMS norm: no mean is taken away, and the size of the row goes on as a second output. So there
# are two upstream gradients. Make the table of uses first. Then a variance that must keep its digits.
# `python -m lessons.exercises check 10` (from the repository's root).
# %%
print("lesson 10 done: the gradient of a layer norm has three terms; the third is invisible to an upstream of ones")
