# %% [markdown]
# # Lesson 07. Softmax and its derivative (3)
#
# *Before it: lesson 02 (numeric derivatives; its conventions are repeated below). About 40 minutes.*
#
# Attention asks for every behaviour of a user: how much of each other behaviour shall I take? The answer must be *weights*:
# none is negative, and their sum is 1. But what a model computes first are *scores*, and they can be any numbers. Softmax
# turns a row of scores into a row of weights.
#
# ## The idea, with small numbers
#
# Three behaviours have the scores $0,\ \ln 2,\ 0$ (so about 0, 0.69, 0). Take $e$ to the power of each: $1, 2, 1$. All are
# positive now. Divide by their sum, 4: the weights are ¼, ½, ¼. A score that is larger by $\ln 2$ has the double weight; a
# score larger by $\ln 10 \approx 2.3$ would have ten times the weight. Only *differences* of scores count: 5, $5 + \ln 2$, 5
# give the same weights.
#
# ## The equation
#
# For a row of scores $x_1 \dots x_n$, one for each of $n$ behaviours:
#
# $$ a_i = \frac{e^{x_i}}{\sum_{j=1}^n e^{x_j}} $$
#
# In the paper this is equation (3), $A_k = \mathrm{softmax}(\text{scores})$: it takes a table of scores, row by row, and our $a$
# is one row of $A_k$. ($k$ counts the paper's latent spaces: it makes attention several times side by side. Here one table is
# enough.)
# "The paper" is Zhou et al., *ATRank: An Attention-Based User Behavior Modeling Framework for Recommendation*, AAAI 2018.
#
# ## The conventions
#
# * $L$ is one number, the loss. For an array $Z$, **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**; its entry
#   says how much $L$ grows, per unit, if this entry of $Z$ grows a little. In code it is `dZ`. Each $d$ before a name means this.
# * $da$ is given to us by what comes after the softmax, the *upstream gradient*. To test the layer alone we take random
#   numbers $da$ and the loss $L = \sum_i da_i\, a_i$, whose derivative by $a_i$ is $da_i$. Why random, you will see below.
# * $A \circ B$ is the product entry by entry (`A * B`); $\langle a, b\rangle = \sum_i a_i b_i$ is the scalar product of two
#   rows.
# * $[i = j]$ is 1 if $i = j$, else 0.
# * `relative_error(A, B)`: the largest difference of two arrays, divided by their largest entry.
#   `scoreboard((name, gradient, array, f))` moves each entry of the array a little up and down, watches the number `f(array)`,
#   and prints the relative error of our gradient; up to $10^{-7}$ is OK. (It moves the entry in the array itself, and puts it
#   back.)

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import softmax_backward, softmax_forward


# %% [markdown]
# ## The slow version, as the equation says it
# %%
def softmax_slow(x):  # [rows,n] -> [rows,n], each row a softmax of its own
    a = np.zeros_like(x)
    for row in range(x.shape[0]):
        total = 0.0
        for j in range(x.shape[1]):
            total += np.exp(x[row, j])
        for i in range(x.shape[1]):
            a[row, i] = np.exp(x[row, i]) / total
    return a


print(softmax_slow(np.array([[0, np.log(2), 0], [5, 5 + np.log(2), 5]])))
rng = np.random.default_rng(7)
x = rng.standard_normal((3, 5))
assert np.allclose(softmax_slow(x).sum(1), 1)  # every row is a set of weights

# %% [markdown]
# ## The gradient, one rule at a time
#
# We take the formula apart until each step is one that school taught. For one row, with $t = \max_j x_j$:
#
# $$ y_i = x_i - t \ (F1) \qquad u_i = e^{y_i} \ (F2) \qquad total = \sum_i u_i \ (F3) \qquad r = \frac{1}{total} \ (F4)
#    \qquad a_i = u_i\, r \ (F5) $$
#
# Why subtract $t$? $e^{1000}$ is too large for a float64. After F1 no exponent is above 0, so no power is above 1. And only
# differences count, so the weights stay as they were.
# %%
t = x.max(1, keepdims=True)
y = x - t  # F1 [rows,n]
u = np.exp(y)  # F2 [rows,n]
total = u.sum(1, keepdims=True)  # F3 [rows,1]
r = 1 / total  # F4 [rows,1]
a = u * r  # F5 [rows,n]
assert relative_error(a, softmax_slow(x)) < 1e-15

da = rng.standard_normal(a.shape)  # the upstream gradient


def loss(a):
    return (da * a).sum()


# %% [markdown]
# Now backward, the last step first: B5 is the way back through F5, and so on. Two facts are all we use: the derivatives of a
# product, of $1/z$ and of $e^z$; and that **a number which is used several times gets the sum of what comes back from its
# uses**.
#
# **B5, by r.** $a_i = u_i r$ holds $r$ for every $i$ of the row, each time beside $u_i$. So $dr = \sum_i da_i\, u_i$.
# %%
dr = (da * u).sum(1, keepdims=True)  # B5, by r


def loss_from_r(r):
    return loss(u * r)


assert scoreboard(("r = 1/total", dr, r, loss_from_r))

# %% [markdown]
# **B4.** $r = 1/total$ has the derivative $-1/total^2 = -r^2$. So $dtotal = -r^2\, dr$.
# %%
dtotal = -(r**2) * dr  # B4


def loss_from_total(total):
    return loss_from_r(1 / total)


assert scoreboard(("total = Σ u", dtotal, total, loss_from_total))

# %% [markdown]
# **B5, by u, and B3.** $u_i$ is used twice: in F5 beside $r$, which gives $da_i\, r$; and in the sum F3, where its factor is 1,
# which gives $dtotal$. Together: $du_i = da_i\, r + dtotal$. Note that $dtotal$ is the same for the whole row.
# %%
du = da * r + dtotal  # B5 by u, and B3


def loss_from_u(u):
    return loss(u / u.sum(1, keepdims=True))


assert scoreboard(("u = exp(y)", du, u, loss_from_u))

# %% [markdown]
# **B2.** $e^y$ is its own derivative: $dy_i = du_i\, e^{y_i} = du_i\, u_i$.
# %%
dy = du * u  # B2


def loss_from_y(y):
    return loss_from_u(np.exp(y))


assert scoreboard(("y = x - t", dy, y, loss_from_y))

# %% [markdown]
# **B1.** $y_i = x_i - t$. $t$ stands in each $y_i$ with the factor −1, so $dt = -\sum_i dy_i$. The factor of $x_i$ is 1, which
# gives $dy_i$. But $t$ is made from $x$ as well: must we follow how? No: $dt = 0$. Whatever we subtract, the weights stay the
# same, so $L$ does not depend on $t$, and nothing comes back through it. So $dx_i = dy_i$. Here we measure that $dt = 0$. The
# next section proves it from the formula for $dy$.
# %%
dt = -dy.sum(1, keepdims=True)  # B1, by t
dx = dy  # B1, by x


def loss_from_t(t):
    return loss_from_y(x - t)


def loss_from_x(x):
    return loss(softmax_slow(x))


assert np.abs(dt).max() < 1e-15
assert scoreboard(("t = max x", dt, t, loss_from_t))
assert scoreboard(("x", dx, x, loss_from_x))

# %% [markdown]
# ## All steps in one line
#
# Put the steps into each other. We use $u_i r = a_i$ twice. First $dtotal$:
#
# $$ dtotal = -r^2 \sum_j da_j\, u_j = -r \sum_j da_j\, a_j = -r\,\langle a, da\rangle $$
#
# then $dy$ (B2):
#
# $$ dy_i = u_i\, du_i = u_i\,(da_i\, r + dtotal) = u_i r\,(da_i - \langle a, da\rangle) = a_i\,(da_i - \langle a, da\rangle) $$
#
# Its sum over a row is $\sum_i a_i\,da_i - \langle a, da \rangle \sum_i a_i = \langle a, da \rangle - \langle a, da \rangle = 0$,
# because the weights sum to 1. So $dt = 0$, as we measured, and B1 leaves
#
# $$ dx_i = dy_i = a_i\,(da_i - \langle a, da\rangle) $$
#
# $\langle a, da\rangle$ is the mean of the $da_i$, each counted with its weight $a_i$. So the line says: **is $da_i$ above the
# weighted mean? Then raising $x_i$ raises the loss. Is it below? Then raising $x_i$ lowers it.** And the sum of 0 says: what one
# behaviour gains, others lose.
#
# With a pencil: the weights ¼, ½, ¼ from above, and $da = (4, 0, 8)$. The mean is ¼ · 4 + ½ · 0 + ¼ · 8 = 3. The differences
# are 1, −3, 5. So $dx$ = (¼ · 1, ½ · (−3), ¼ · 5) = (0.25, −1.5, 1.25), with sum 0.
# %%
one_line = a * (da - (a * da).sum(1, keepdims=True))
assert relative_error(one_line, dx) < 1e-14
assert np.allclose(one_line.sum(1), 0)

pencil_a, pencil_cache = softmax_forward(np.array([[0, np.log(2), 0]]))
pencil_dx = softmax_backward(np.array([[4.0, 0, 8]]), pencil_cache)
print("weights", pencil_a[0], "  dx", pencil_dx[0], "  their sum", pencil_dx.sum())
assert np.allclose(pencil_dx, [[0.25, -1.5, 1.25]])

# %% [markdown]
# ## A second way: all derivatives of a row
#
# The derivatives $\partial a_i / \partial x_j$ of a row form a table, the **Jacobian**: row $i$ for the weight, column $j$
# for the score that moves. Take school's quotient rule $(f/g)' = (f'g - fg')/g^2$, with $f = e^{x_i}$ and $g = \sum_l e^{x_l}$,
# and derive by $x_j$:
#
# * $g$ has the derivative $e^{x_j}$, as only one of its terms holds $x_j$;
# * $f$ has the derivative $e^{x_i}$ if $i = j$, and 0 otherwise: $[i = j]\, e^{x_i}$.
#
# $$ \frac{\partial a_i}{\partial x_j} = \frac{[i = j]\, e^{x_i} g - e^{x_i} e^{x_j}}{g^2} = [i = j]\, a_i - a_i a_j $$
#
# On the diagonal this is $a_i(1 - a_i)$, never negative; beside it $-a_i a_j$, never positive: raising one score takes weight
# from all others. For the weights ¼, ½, ¼ the first row is (3/16, −2/16, −1/16). The chain rule, with the sum over all
# weights that $x_j$ moves, gives our line again. (Of all the terms with $[i = j]$ only one is not 0, the one with $i = j$.)
#
# $$ dx_j = \sum_i da_i\,([i = j]\, a_i - a_i a_j) = da_j a_j - a_j \sum_i da_i a_i = a_j\,(da_j - \langle a, da\rangle) $$
#
# This way is shorter on paper. But do not compute it so: for a history of $n = 100$ behaviours the table has $n^2 = 10{,}000$
# entries per row of scores, and our line needs some $3n = 300$ operations.
# %%
weights = a[0]
J = np.diag(weights) - np.outer(weights, weights)
numeric = np.zeros((5, 5))
h = 1e-5
for j in range(5):  # score j of the first row moves, and all weights are watched
    up, down = x[:1].copy(), x[:1].copy()  # [1,n]
    up[0, j] += h
    down[0, j] -= h
    numeric[:, j] = (softmax_slow(up) - softmax_slow(down))[0] / (2 * h)
assert relative_error(J, numeric) < 1e-7
assert relative_error(da[0] @ J, one_line[0]) < 1e-14

# %% [markdown]
# ## The package's version
#
# `softmax_forward` returns the weights, and as cache the weights once more: the line needs nothing else.
# `softmax_backward(da, a)` is the line.
# %%
package_a, cache = softmax_forward(x)
assert relative_error(package_a, a) < 1e-15
assert relative_error(softmax_backward(da, cache), dx) < 1e-14

# %% [markdown]
# ## The picture
#
# Left: the Jacobian of the weights 0.1, 0.5, 0.25, 0.15. Red cells are negative; each row and each column sums to 0. Middle:
# the one line at work. The dots are $da$, the dashed line is their weighted mean. The bars are $dx$: the distance from the
# dashed line up to the dot, times the weight. All dots are positive, and still two bars are negative. Right: two scores only.
# If one is far ahead, its weight is nearly 1 and the slope $a(1 - a)$ nearly 0: such a row hardly learns any more. So the scores
# must be small at the start (lesson 08 measures how small).
# %%
with figure("07_softmax", columns=3, size=(12.5, 4)) as (fig, axes):
    weights = np.array([0.1, 0.5, 0.25, 0.15])
    upstream = np.array([2.0, 0.5, 1.5, 0.7])
    names = [f"a={w}" for w in weights]
    jacobian = np.diag(weights) - np.outer(weights, weights)
    axes[0].imshow(jacobian, cmap="RdBu", vmin=-0.5, vmax=0.5)
    for i, j in np.ndindex(4, 4):
        axes[0].text(j, i, f"{jacobian[i, j]:+.4f}", ha="center", va="center", fontsize=9)
    axes[0].set(
        title="∂a$_i$/∂x$_j$ = [i = j] a$_i$ − a$_i$ a$_j$", xlabel="score j, which moves", ylabel="weight i, which changes"
    )
    axes[0].set(xticks=range(4), yticks=range(4), xticklabels=["x₁", "x₂", "x₃", "x₄"], yticklabels=names)
    axes[0].spines[:].set_visible(False)
    mean = weights @ upstream
    places = np.arange(4)
    axes[1].vlines(places - 0.2, mean, upstream, color="0.6", lw=2)
    axes[1].plot(places - 0.2, upstream, "o", color="0.4", label="da")
    axes[1].axhline(mean, color="C3", ls="--", label=f"their weighted mean ⟨a, da⟩ = {mean:.2f}")
    axes[1].bar(places + 0.15, weights * (upstream - mean), 0.4, label="dx = a · (da − mean), with sum 0")
    axes[1].axhline(0, color="k", lw=0.8)
    axes[1].set(title="only the distance from the mean counts", ylim=(-0.4, 3.1))
    axes[1].set(xticks=places, xticklabels=names, xlabel="behaviour", ylabel="derivative of the loss")
    axes[1].legend(loc="upper right", fontsize=8)
    gap = np.linspace(-8, 8, 201)
    first = softmax_forward(np.stack([gap, 0 * gap], 1))[0][:, 0]
    axes[2].plot(gap, first, label="weight a₁")
    axes[2].plot(gap, first * (1 - first), label="slope a₁ (1 − a₁)")
    axes[2].set(title="two scores far apart: the slope vanishes", xlabel="x₁ − x₂", ylabel="weight, slope")
    axes[2].legend(loc="center left", fontsize=8)

# %% [markdown]
# ## What people get wrong
#
# 1. **The denominator is taken as a constant**: $dx = a \circ da$. Then the rows do not sum to 0.
# 2. **The sum runs along the wrong axis.** `sum(0)` in place of `sum(1)`: with as many rows as columns no shape complains.
# 3. **The check uses an upstream of ones.** Then $L = \sum_i a_i = 1$ per row, whatever the scores are: the true gradient is
#    0, and so is ours if it is five times too large. That is why $da$ is random.
# 4. **No maximum is subtracted.** Large scores give infinity divided by infinity.
# %%
for seed in range(10):
    draw = np.random.default_rng(seed)
    a, _ = softmax_forward(draw.standard_normal((5, 5)))
    da = draw.standard_normal((5, 5))
    true = softmax_backward(da, a)
    constant_denominator = a * da
    wrong_axis = a * (da - (a * da).sum(0))
    five_times = 5 * true
    assert relative_error(constant_denominator, true) > 0.1
    assert relative_error(wrong_axis, true) > 0.1
    assert relative_error(five_times, true) > 0.7
    assert np.abs(5 * softmax_backward(np.ones((5, 5)), a)).max() < 1e-14  # with ones: zero, as the true one
print(f"1. constant denominator: error {relative_error(constant_denominator, true):.2f} in the last of ten draws")
print(f"2. wrong axis: error {relative_error(wrong_axis, true):.2f}")
print("3. five times too large: with ones the check sees 0 and 0, with random numbers a relative error of 0.8")
with np.errstate(over="ignore", invalid="ignore"):
    large = np.array([1000.0, 999])
    naive = np.exp(large) / np.exp(large).sum()
print("4. without the maximum:", naive, " with it:", softmax_forward(large[None])[0][0].round(3))
assert np.isnan(naive).all()

# %% [markdown]
# ## Your turn
#
# First write the one line from memory. Then derive a softmax with two changes. It has a *mask*: each $e^{x_i}$ is multiplied by
# 1 or by 0, so some behaviours may not enter. And it has a *temperature*: all scores are divided by one number, which is learned
# too. Start from the quotient rule above. `python -m lessons.exercises check 07` (from the repository's root).
# %%
print("lesson 07 done: dx = a ∘ (da − ⟨a, da⟩), from five small steps, and no n × n table")
