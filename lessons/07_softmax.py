# %% [markdown]
# # Lesson 07. Softmax and its Jacobian (3)
#
# *Before it: lesson 02 (numeric derivatives, the scoreboard, random upstream gradients). About 25 minutes.*
#
# Attention asks, for every behaviour: how much of each other behaviour should I take? The answer must be weights: not
# negative, with sum 1. Scores are any numbers. Softmax turns a row of scores $x_1 … x_m$ into a row of weights:
#
# $$ a_i = \frac{e^{x_i}}{\sum_j e^{x_j}} \qquad (3)\quad A_k = \mathrm{softmax}(\text{scores}),\ \text{row by row} $$
#
# Its derivative is the first one of this course in which **even the slopes depend on the whole row**.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error
from atrank_np.layers.attention import softmax_backward, softmax_forward


# %% [markdown]
# ## The slow version, symbol by symbol
# %%
def softmax_slow(x):  # [n,m] -> [n,m]
    a = np.zeros_like(x)
    for row in range(len(x)):
        for i in range(x.shape[1]):
            a[row, i] = np.exp(x[row, i]) / sum(np.exp(x[row, j]) for j in range(x.shape[1]))
    return a


rng = np.random.default_rng(7)
x = rng.standard_normal((3, 5))
assert relative_error(softmax_slow(x), softmax_forward(x)[0]) < 1e-15
assert np.allclose(softmax_slow(x).sum(1), 1)

# %% [markdown]
# ## The gradient in atoms
#
# We take the formula apart until each step is one that we know. For one row, with $t = \max_j x_j$:
#
# $$ c_i = x_i - t \qquad e_i = e^{c_i} \qquad z = \sum_i e_i \qquad r = 1/z \qquad a_i = e_i\, r $$
#
# Subtracting $t$ changes nothing (it cancels in the quotient), but no exponent is above 0 any more, so nothing overflows.
# Now backward, last step first. `da` comes from above; we take a random one.
# %%
t = x.max(1, keepdims=True)
c = x - t
e = np.exp(c)
z = e.sum(1, keepdims=True)
r = 1 / z
a = e * r

da = rng.standard_normal(a.shape)  # the upstream gradient
dr = (da * e).sum(1, keepdims=True)  # a = e r: r is used by every entry of its row, so their shares add up
dz = -dr * r**2  # r = 1/z
de = da * r + dz  # e has two uses: in a itself, and in the sum z, which hands dz to each of its entries
dc = de * e  # e = exp(c)
dt = -dc.sum(1, keepdims=True)  # c = x - t: t is used by every entry of its row
dx = dc  # c = x - t, by x; x also reaches c through t, but look at dt below

# %% [markdown]
# The scoreboard moves every named number a little and watches the loss $\langle da, a \rangle$: the first wrong line of a
# derivation shows at once.
# %%
loss = lambda a: (da * a).sum()
assert scoreboard(
    ("r = 1/z", dr, r, lambda r: loss(e * r)),
    ("z = Σ e", dz, z, lambda z: loss(e / z)),
    ("e = exp(c)", de, e, lambda e: loss(e / e.sum(1, keepdims=True))),
    ("c = x - t", dc, c, lambda c: loss(np.exp(c) / np.exp(c).sum(1, keepdims=True))),
    ("t = max x", dt, t, lambda t: loss(np.exp(x - t) / np.exp(x - t).sum(1, keepdims=True))),
    ("x", dx, x, lambda x: loss(softmax_slow(x))),
)
assert np.abs(dt).max() < 1e-15  # nothing flows through the maximum: whatever is subtracted, the weights stay the same

# %% [markdown]
# ## Collapsed to one line
#
# Put the atoms into each other. With $e_i r = a_i$:
#
# $$ dz = -r^2 \sum_j da_j\, e_j = -r \sum_j a_j\, da_j = -r\,\langle a, da\rangle $$
# $$ dx_i = e_i\,(da_i\, r + dz) = e_i r\,(da_i - \langle a, da\rangle) = a_i\,(da_i - \langle a, da \rangle) $$
#
# $\langle a, da\rangle$ is a mean of `da`, weighted by `a`. A score's gradient is positive exactly if its `da` is above it.
# %%
one_line = a * (da - (a * da).sum(1, keepdims=True))
assert relative_error(one_line, dx) < 1e-14
assert relative_error(one_line, softmax_backward(da, a)) < 1e-15  # the package's version is this line
assert np.allclose(one_line.sum(1), 0)  # weight is moved around, never made: the gradients of a row sum to 0

# %% [markdown]
# ## The Jacobian that we did not form
#
# All derivatives $\partial a_i / \partial x_j$ of a row make a matrix. For $i = j$ it is $a_i - a_i^2$; for $i \ne j$ it is
# $-a_i a_j$: raising one score takes from all the others. Together $J = \mathrm{diag}(a) - a\,a^\top$. The line above is
# $dx = J^\top da$ with $2m$ products instead of $m^2$: for a history of 100 behaviours, 200 instead of 10,000 per row.
# %%
row = a[0]
J = np.diag(row) - np.outer(row, row)
numeric = np.array([numeric_gradient(lambda v, i=i: softmax_slow(v[None])[0, i], x[0].copy()) for i in range(5)])
assert relative_error(J, numeric) < 1e-7
assert relative_error(J.T @ da[0], one_line[0]) < 1e-14
assert np.allclose(J, J.T) and np.allclose(J.sum(0), 0)

# %% [markdown]
# ## With a pencil
#
# Scores $0, \ln 2, 0$ have the exponentials 1, 2, 1, so the weights are ¼, ½, ¼. Let $da = (4, 0, 8)$.
# The mean is ¼·4 + ½·0 + ¼·8 = 3. The differences are 1, −3, 5. So $dx$ = (¼·1, ½·(−3), ¼·5) = (0.25, −1.5, 1.25).
# %%
pencil_a, cache = softmax_forward(np.array([[0, np.log(2), 0]]))
pencil_dx = softmax_backward(np.array([[4.0, 0, 8]]), cache)
print("weights", pencil_a[0], "  dx", pencil_dx[0], "  their sum", pencil_dx.sum())
assert np.allclose(pencil_a, [[0.25, 0.5, 0.25]]) and np.allclose(pencil_dx, [[0.25, -1.5, 1.25]])

# %% [markdown]
# ## The picture
#
# Left: the Jacobian of a row: positive on the diagonal, negative elsewhere, each row sums to 0. Middle: what the one line
# does. Right: two scores and their difference; where one weight is nearly 1, the slope dies. (4) has no $1/\sqrt{d}$ to keep
# scores small, so a start with small numbers matters.
# %%
with figure("07_softmax", columns=3, size=(12, 3.8)) as (fig, axes):
    weights = np.array([0.1, 0.5, 0.25, 0.15])
    upstream = np.array([2.0, 0.5, 1.5, 0.7])
    jacobian, mean = np.diag(weights) - np.outer(weights, weights), weights @ upstream
    axes[0].imshow(jacobian, cmap="RdBu", vmin=-0.5, vmax=0.5)
    for i, j in np.ndindex(4, 4):
        axes[0].text(j, i, f"{jacobian[i, j]:+.3f}", ha="center", va="center", fontsize=9)
    axes[0].set(title="∂a$_i$/∂x$_j$ = diag(a) − a aᵀ", xlabel="score j that moves", ylabel="weight i that answers")
    axes[0].set(xticks=range(4), yticks=range(4), yticklabels=[f"a={w}" for w in weights])
    axes[0].spines[:].set_visible(False)
    axes[1].vlines(np.arange(4) - 0.2, mean, upstream, color="0.6", lw=2)
    axes[1].plot(np.arange(4) - 0.2, upstream, "o", color="0.4", label="da, from above: all positive")
    axes[1].axhline(mean, color="C3", ls="--", label=f"their mean under a: <a, da> = {mean:.2f}")
    axes[1].bar(np.arange(4) + 0.15, weights * (upstream - mean), 0.4, label="dx = a · (grey stroke): sum 0")
    axes[1].axhline(0, color="k", lw=0.8)
    axes[1].set(title="only what differs from the mean gets through", xticks=range(4), ylim=(-0.4, 3))
    axes[1].set_xticklabels([f"a={w}" for w in weights])
    axes[1].legend(loc="upper right", fontsize=8)
    gap = np.linspace(-8, 8, 201)
    first = softmax_forward(np.stack([gap, 0 * gap], 1))[0][:, 0]
    axes[2].plot(gap, first, label="weight a₁")
    axes[2].plot(gap, first * (1 - first), label="its slope a₁ (1 − a₁)")
    axes[2].set(title="two scores: far apart, no slope is left", xlabel="x₁ − x₂")
    axes[2].legend(loc="center left", fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
wrong = a * da  # 1. the second term forgotten: as if the denominator were a constant
print(f"1. without the second term: error {relative_error(wrong, dx):.2f}; its rows sum to {wrong.sum(1).round(2)}, not to 0")
assert relative_error(wrong, dx) > 0.05 and not np.allclose(wrong.sum(1), 0)

ones = np.ones_like(a)  # 2. a check with an upstream of ones: the weights always sum to 1, so every true gradient is 0
five = 5 * a * (ones - (a * ones).sum(1, keepdims=True))
print(f"2. five times too large, upstream of ones: largest entry {np.abs(five).max():.0e}, like the true one: nothing is seen")
assert np.abs(five).max() < 1e-14 and relative_error(5 * dx, dx) > 0.7

with np.errstate(over="ignore", invalid="ignore"):  # 3. no maximum subtracted
    naive = np.exp(np.array([1000.0, 999])) / np.exp(np.array([1000.0, 999])).sum()
print("3. without the maximum:", naive, " with it:", softmax_forward(np.array([[1000.0, 999]]))[0][0].round(3))
assert np.isnan(naive).all()

down = np.exp(x) / np.exp(x).sum(0)  # 4. the sum along the wrong axis
print("4. over the wrong axis the rows sum to", down.sum(1).round(2))
assert not np.allclose(down.sum(1), 1)

# %% [markdown]
# ## Your turn
#
# Write the backward pass yourself: `python -m lessons.exercises check 07` (from the repository's root).
# %%
print("lesson 07 done: softmax backward is a (da - <a, da>), from six atoms, with no m × m matrix")
