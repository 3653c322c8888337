# %% [markdown]
# # Lesson 05. Perceptrons: one space for all groups (1)
#
# *Before it: lesson 02 (numeric derivatives; its conventions are repeated below) and 04 (the sum u). About 45 minutes.*
#
# Attention will compare behaviours with each other. But behaviours of different groups are rows of different length: an item
# may have 256 numbers (object, category, shop, brand, 64 each), a coupon 192, a query 64. Before anything is compared, all
# must become rows of one length, in which column 5 means the same for everybody. The layer that does this is the
# **perceptron**. It is also the most used layer of the whole model, so its gradient is worth knowing by heart.
#
# ## The idea, with small numbers
#
# A perceptron takes a row $x$, multiplies it by a matrix $W$, adds a row $b$, and sets what is negative to zero. Let
# $x = (1, 2)$, $W = \begin{pmatrix} 3 & -1 \\ 0 & -2 \end{pmatrix}$ and $b = (1, 0)$.
#
# * First output: $1·3 + 2·0 + 1 = 4$. It is positive and stays 4.
# * Second output: $1·(-1) + 2·(-2) + 0 = -5$. It is negative and becomes 0.
#
# So $y = (4, 0)$. Each column of $W$ belongs to one output, each row to one input. Each output is a weighted sum of all
# inputs, and a switch that is on (4) or off (0).
#
# Now backward. Say more of the first output would raise the loss by 10 per unit, more of the second by 100: $dy = (10, 100)$.
# The second switch is off: if its sum moves a little from −5, the output stays 0. So the 100 goes no further. The first is
# on, and what moves its sum moves the loss 10 times as much. The first input stands in that sum with the factor 3, so its
# derivative is 30; the second with the factor 0, so 0. The weight 3 stands in it with the factor $x_1 = 1$, so its derivative
# is 10; the weight below with the factor $x_2 = 2$, so 20.
#
# ## The equation
#
# $$ (1)\quad S = \mathrm{concat}_i\, F_{M_i}(u_{bg_i}), \qquad F_\theta(x) = \mathrm{relu}(x\,W + b), \qquad
#    \mathrm{relu}(z) = \max(z, 0) $$
#
# $u_{bg_i}$ are the behaviours of group $i$, one a row, from lesson 04. Each group has a perceptron $F_{M_i}$ of its own,
# with $W$ of shape $[b_i, D]$: as many rows as the group's $u$ is wide (the paper calls this width $b_i$; it is not the
# bias), and always $D$ columns. "concat" puts the rows of all groups *below* each other; each stays at its place in time.
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. $dy$ comes from the layers above, the *upstream gradient*. To test a
# layer alone we draw $dy$ at random and take $L = \sum_{no} dy_{no}\, y_{no}$, whose derivative by $y$ is $dy$ (lesson 02
# shows why random). $A \circ B$ is the product entry by entry, `A * B`. $[z > 0]$ is 1 where the condition holds, else 0.
# `relative_error` is the largest difference of two arrays divided by their largest entry.
# `scoreboard((name, gradient, array, f))` compares a gradient with numeric derivatives of `f(array)`.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error, toy_problem
from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from atrank_np.models.gradients import Gradients


# %% [markdown]
# ## The slow version, as the formula says
#
# For row $n$ and output $o$: $\ z_{no} = b_o + \sum_i x_{ni} W_{io}$ (F1), then $y_{no} = \max(z_{no}, 0)$ (F2).
# %%
def perceptron_slow(x, W, b):  # [N,I], [I,O], [O] -> [N,O]
    N, I, O = len(x), W.shape[0], W.shape[1]
    y = np.zeros((N, O))
    for n in range(N):
        for o in range(O):
            z = b[o]
            for i in range(I):
                z += x[n, i] * W[i, o]
            y[n, o] = max(z, 0)
    return y


print(perceptron_slow(np.array([[1.0, 2]]), np.array([[3.0, -1], [0, -2]]), np.array([1.0, 0])))
rng = np.random.default_rng(11)
N, I, O = 7, 5, 3
x = rng.standard_normal((N, I))
W = rng.standard_normal((I, O))
b = rng.standard_normal(O)
z = x @ W + b  # F1 [N,O]
y = np.maximum(z, 0)  # F2 [N,O]
assert relative_error(y, perceptron_slow(x, W, b)) < 1e-14

# %% [markdown]
# ## The gradient, one rule at a time
#
# We go back from the last step, and check each result before we use it.
#
# **B2, the relu.** Its slope is 1 where $z > 0$ and 0 where $z < 0$ (at 0 there is none; we take 0). So
# $dz_{no} = dy_{no}\,[z_{no} > 0]$. As $y > 0$ exactly where $z > 0$, we may write $[y > 0]$, and need not keep $z$.
# %%
dy = rng.standard_normal(y.shape)  # the upstream gradient


def loss(y):
    return (dy * y).sum()


def loss_from_z(z):
    return loss(np.maximum(z, 0))


dz = dy * (y > 0)  # B2
assert scoreboard(("z = x W + b", dz, z, loss_from_z))

# %% [markdown]
# **B1, by W.** Which terms hold one chosen weight $W_{io}$? For *every* row $n$ it stands in $z_{no}$, with the factor
# $x_{ni}$. A number with several uses gets the sum of what comes back from them:
#
# $$ dW_{io} = \sum_n x_{ni}\, dz_{no} $$
#
# We sum over $n$. As a matrix product: $A B$ has the entries $\sum_n A_{in} B_{no}$, with the summed letter last in the first
# factor. Here it is first in $x_{ni}$, so $x$ must be transposed: $dW = x^\top dz$. The shapes agree: $[I, N]\,[N, O]$ gives
# $[I, O]$.
# %%
dW_slow = np.zeros_like(W)
for n in range(N):
    for i in range(I):
        for o in range(O):
            dW_slow[i, o] += x[n, i] * dz[n, o]
dW = x.T @ dz  # B1, by W
assert relative_error(dW, dW_slow) < 1e-14


def loss_from_W(W):
    return loss_from_z(x @ W + b)


assert scoreboard(("W", dW, W, loss_from_W))

# %% [markdown]
# **B1, by b.** $b_o$ stands in $z_{no}$ for every row $n$, with the factor 1. So $db_o = \sum_n dz_{no}$.
# %%
db = dz.sum(0)  # B1, by b


def loss_from_b(b):
    return loss_from_z(x @ W + b)


assert scoreboard(("b", db, b, loss_from_b))

# %% [markdown]
# **B1, by x.** $x_{ni}$ stands in $z_{no}$ for every output $o$, with the factor $W_{io}$:
#
# $$ dx_{ni} = \sum_o dz_{no}\, W_{io} $$
#
# The summed letter $o$ is last in $dz$, and last in $W$ where it should be first. So $W$ is transposed: $dx = dz\,W^\top$.
# %%
dx = dz @ W.T  # B1, by x


def loss_from_x(x):
    return loss_from_z(x @ W + b)


assert scoreboard(("x", dx, x, loss_from_x))

# %% [markdown]
# All four lines together, to be learned by heart:
#
# $$ dz = dy \circ [y > 0] \qquad dx = dz\,W^\top \qquad dW = x^\top dz \qquad db = \sum_n dz_n $$
#
# The sum always runs over the letter that the result does not have.
#
# ## The package's version
#
# `perceptron_forward(x, W, b)` returns $y$ and a cache with $x$, $W$, $y$; `perceptron_backward(dy, cache)` returns
# $dx, dW, db$. First the numbers of the idea above, then ours.
# %%
pencil_y, pencil_cache = perceptron_forward(np.array([[1.0, 2]]), np.array([[3.0, -1], [0, -2]]), np.array([1.0, 0]))
pencil_dx, pencil_dW, pencil_db = perceptron_backward(np.array([[10.0, 100]]), pencil_cache)
print("y", pencil_y.tolist(), " dx", pencil_dx.tolist(), " dW", pencil_dW.tolist(), " db", pencil_db.tolist())
assert pencil_dx.tolist() == [[30, 0]]
assert pencil_dW.tolist() == [[10, 0], [20, 0]]
assert pencil_db.tolist() == [10, 0]

_, cache = perceptron_forward(x, W, b)
for ours, package in zip((dx, dW, db), perceptron_backward(dy, cache)):
    assert relative_error(ours, package) < 1e-14

# %% [markdown]
# ## Two uses of the same perceptron
#
# The object that is to be ranked, the *target*, must come into the same space. So it goes through the *same* perceptron as
# the behaviours of its group: $h_t = F_M(q_t)$, where $q_t$ is its $u$. Now $W$ is used twice: by the history and by the
# targets. Its gradient is the sum of both. It is the same as if all rows, of history and targets, had gone through in one
# batch, because $x^\top dz$ sums over rows anyway.
# %%
q = rng.standard_normal((2, I))  # two targets
dh = rng.standard_normal((2, O))  # and what comes back to their h
_, cache_of_targets = perceptron_forward(q, W, b)
_, dW_history, _ = perceptron_backward(dy, cache)
_, dW_targets, _ = perceptron_backward(dh, cache_of_targets)


def loss_of_both(W):
    of_history = (dy * np.maximum(x @ W + b, 0)).sum()
    of_targets = (dh * np.maximum(q @ W + b, 0)).sum()
    return of_history + of_targets


assert scoreboard(("W, both uses", dW_history + dW_targets, W, loss_of_both))
_, cache_of_all = perceptron_forward(np.concatenate([x, q]), W, b)
_, dW_at_once, _ = perceptron_backward(np.concatenate([dy, dh]), cache_of_all)
assert relative_error(dW_history + dW_targets, dW_at_once) < 1e-14

# %% [markdown]
# ## The package: three groups of different widths
#
# `CommonSpace` is the part of the package that computes $S$ and $h$ for a whole batch. Our made-up batch has items (11 wide),
# queries (7) and coupons (2); all come out with $D = 6$ columns. We draw upstream gradients for $S$ and for $h$, and check
# every entry of every perceptron. (`bias` is a number per target, of lesson 14. `Gradients` adds up what comes for one
# parameter name from several uses.)
# %%
problem = toy_problem(np.random.default_rng(5))
space, params, batch = problem.model.space, problem.params, problem.batch
S, h, bias, space_cache = space.forward(params, batch)
print("widths", {group.name: group.width for group in space.groups}, " S", S.shape, " h", h.shape)
dS = rng.standard_normal(S.shape)
dh = rng.standard_normal(h.shape)
gradients = Gradients()
space.backward(dS, dh, np.zeros_like(bias), space_cache, gradients)
total = gradients.total()


def space_loss(_):  # the scoreboard moves a number in params, which this function reads
    S, h, _, _ = space.forward(params, batch)
    return (dS * S).sum() + (dh * h).sum()


for name in params:
    if name.startswith("F_M"):
        assert scoreboard((name, total[name], params[name], space_loss))

# %% [markdown]
# ## The picture
#
# The first eight behaviours of one history, in time order. Left: $u$, each row as long as its group is wide. Right: $S$, all
# rows equally long; darker is larger. Each 0 is a switch that is off: at that place nothing comes back to $W$, $b$ and $u$.
# %%
with figure("05_common_space", columns=2, size=(10, 4.2)) as (fig, axes):
    start = int(batch.offsets[4])  # of the fifth history
    colours = ["Blues", "Greens", "Oranges"]
    labels = ["an item", "a query", "a coupon"]
    for place in range(8):
        row = start + place
        g = int(batch.group[row])
        width = space.groups[g].width
        bar = np.full((1, width), 1.2)
        box = (0, width, place + 0.9, place + 0.1)
        axes[0].imshow(bar, extent=box, cmap=colours[g], vmin=-0.1, vmax=2.5, aspect="auto")
        axes[0].text(width + 0.2, place + 0.5, f"{labels[g]}, {width} wide", va="center", fontsize=9)
        box = (0, 6, place + 0.9, place + 0.1)
        axes[1].imshow(S[row][None], extent=box, cmap=colours[g], vmin=0, vmax=2.5, aspect="auto")
        axes[1].text(6.2, place + 0.5, f"relu(u W + b), W of {space.groups[g].name} [{width},6]", va="center", fontsize=9)
        for column in np.flatnonzero(S[row] == 0):
            axes[1].text(column + 0.5, place + 0.5, "0", ha="center", va="center", fontsize=8, color="0.5")
    axes[0].set(title="u: every group has its own width", xlim=(0, 16), xlabel="columns of u")
    axes[1].set(title="S: one space of D = 6 columns", xlim=(0, 14), xlabel="columns of S", xticks=[0, 6])
    for axis in axes:
        axis.set(ylim=(8, 0), yticks=np.arange(8) + 0.5, yticklabels=range(8), ylabel="behaviour, in time order")

# %% [markdown]
# ## What people get wrong
#
# 1. **The second use overwrites the first**: `=` where `+=` belongs. The targets' share is there, the history's is lost.
# 2. **The switch is set by $dy$ in place of $y$**: `dy * (dy > 0)`. It looks alike, and is wrong where $dy$ is negative.
# 3. **$db$ is a mean over the rows.** A mean belongs to the loss (lesson 13), if it has one. A layer sums.
# 4. **A switch that is off for every row** gets no gradient, so training cannot turn it on again. It is called a dead relu. A
#    bias of −100 makes one.
# %%
for seed in range(10):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((7, 5))
    upstream = draw.standard_normal((7, 3))
    y, cache = perceptron_forward(rows, W, b)
    dx, dW, db = perceptron_backward(upstream, cache)
    _, cache = perceptron_forward(rows[:2], W, b)
    _, dW_second, _ = perceptron_backward(upstream[:2], cache)
    gate_by_dy = upstream * (upstream > 0)
    assert relative_error(dW_second, dW + dW_second) > 0.1  # the second alone in place of both
    assert relative_error(gate_by_dy @ W.T, dx) > 0.1
    assert relative_error(db / len(rows), db) > 0.8
print(f"1. = in place of +=: error {relative_error(dW_second, dW + dW_second):.2f} in the last of ten draws")
print(f"2. dy * (dy > 0): error {relative_error(gate_by_dy @ W.T, dx):.2f}")
print(f"3. db as a mean over 7 rows: error {relative_error(db / len(rows), db):.2f}")
dead_y, cache = perceptron_forward(x, W, np.full(O, -100.0))
_, dead_dW, dead_db = perceptron_backward(dy, cache)
print("4. with a bias of -100: largest output", dead_y.max(), ", largest entry of dW", np.abs(dead_dW).max())
assert not dead_dW.any()
assert not dead_db.any()

# %% [markdown]
# ## Your turn
#
# A perceptron whose negative side has a learned slope, a hunt in the code for two groups, and a layer in which two
# perceptrons meet: `python -m lessons.exercises check 05` (from the repository's root).
# %%
print("lesson 05 done: dz = dy ∘ [y > 0], dx = dz Wᵀ, dW = xᵀ dz, db = Σ dz; two uses add up")
