# %% [markdown]
# # Lesson 05. Perceptrons, and one space for all groups (1)
#
# *Before it: lessons 02 and 04 (scoreboard; the sum u). About 25 minutes.*
#
# An item's $u$ may be 256 numbers wide (object, category, shop, brand), a coupon's 192, a query's 64. Attention will
# compare behaviours with each other, so they must live in one space. Every group gets a **perceptron** of its own into
# it:
#
# $$ (1)\quad S = \mathrm{concat}_i\, F_{M_i}(u_{bg_i}), \qquad
#    F_\theta(x) = \mathrm{relu}(x\,W + b), \qquad \mathrm{relu}(z) = \max(z, 0) $$
#
# $W$ of group $i$ is $[b_i, D]$: as many rows as the group is wide ($b_i$ is that width, not the bias), always $D$ columns.
# "concat" stacks behaviours *below* each other; each stays in its place in time.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error, toy_problem
from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from atrank_np.models.common_space import Gradients


# %% [markdown]
# ## The slow version, symbol by symbol
# %%
def perceptron_slow(x, W, b):  # [N,I], [I,O], [O] -> [N,O]
    y = np.zeros((len(x), len(b)))
    for n in range(len(x)):
        for o in range(len(b)):
            z = b[o] + sum(x[n, i] * W[i, o] for i in range(len(W)))
            y[n, o] = max(z, 0)
    return y


rng = np.random.default_rng(11)
N, I, O = 7, 5, 3
x, W, b = rng.standard_normal((N, I)), rng.standard_normal((I, O)), rng.standard_normal(O)
assert relative_error(perceptron_slow(x, W, b), perceptron_forward(x, W, b)[0]) < 1e-14

# %% [markdown]
# ## The gradient in atoms
#
# $z_{no} = b_o + \sum_i x_{ni} W_{io}$, then $y_{no} = \max(z_{no}, 0)$. Backward, last step first:
#
# - relu: slope 1 where $z > 0$, slope 0 elsewhere. $dz_{no} = dy_{no}\,[z_{no} > 0]$.
# - $W_{io}$ is used once by every row $n$, with factor $x_{ni}$: $dW_{io} = \sum_n x_{ni}\, dz_{no}$.
# - $b_o$ is used once by every row, with factor 1: $db_o = \sum_n dz_{no}$.
# - $x_{ni}$ is used once by every output $o$, with factor $W_{io}$: $dx_{ni} = \sum_o dz_{no} W_{io}$.
#
# Each sum runs over the index that the result does not have. That is the whole secret of matrix gradients.
# %%
z = x @ W + b
dy = rng.standard_normal(z.shape)
dz, dx, dW, db = np.zeros_like(z), np.zeros_like(x), np.zeros_like(W), np.zeros_like(b)
for n in range(N):
    for o in range(O):
        dz[n, o] = dy[n, o] if z[n, o] > 0 else 0
        db[o] += dz[n, o]
        for i in range(I):
            dW[i, o] += x[n, i] * dz[n, o]
            dx[n, i] += dz[n, o] * W[i, o]

loss = lambda z: (dy * np.maximum(z, 0)).sum()
assert scoreboard(
    ("z = xW + b", dz, z, loss),
    ("x", dx, x, lambda x: loss(x @ W + b)),
    ("W", dW, W, lambda W: loss(x @ W + b)),
    ("b", db, b, lambda b: loss(x @ W + b)),
)

# %% [markdown]
# Collapsed: $dz = dy \circ [y > 0]$, $\;dx = dz\,W^\top$, $\;dW = x^\top dz$, $\;db = \sum_n dz_n$. The shapes leave no
# choice: $[N,I]$ from $[N,O]$ and $[I,O]$ can only be $dz\,W^\top$. ($y > 0$ exactly where $z > 0$, so the cache needs no
# $z$.)
# %%
y, cache = perceptron_forward(x, W, b)
for mine, line, package in zip((dx, dW, db), (dz @ W.T, x.T @ dz, dz.sum(0)), perceptron_backward(dy, cache)):
    assert relative_error(mine, line) < 1e-14 and relative_error(line, package) < 1e-14

# %% [markdown]
# ## With a pencil
#
# One row $x = (1, 2)$, $W = \begin{pmatrix} 3 & -1 \\ 0 & -2\end{pmatrix}$, $b = (1, 0)$:
# $z = (1·3 + 2·0 + 1,\ -1 - 4) = (4, -5)$, so $y = (4, 0)$. From above comes $dy = (10, 100)$. The second output is off:
# $dz = (10, 0)$. Then $db = (10, 0)$, $dW = \begin{pmatrix} 10 & 0 \\ 20 & 0 \end{pmatrix}$,
# $dx = (10·3, 10·0) = (30, 0)$. The 100 reaches nobody.
# %%
pencil = perceptron_forward(np.array([[1.0, 2]]), np.array([[3.0, -1], [0, -2]]), np.array([1.0, 0]))
gradients = perceptron_backward(np.array([[10.0, 100]]), pencil[1])
print("y", pencil[0].tolist(), " dx", gradients[0].tolist(), " dW", gradients[1].tolist(), " db", gradients[2].tolist())
assert gradients[0].tolist() == [[30, 0]] and gradients[1].tolist() == [[10, 0], [20, 0]] and gradients[2].tolist() == [10, 0]

# %% [markdown]
# ## F_M has two uses
#
# The target goes through the *same* perceptron as the history: $h_t = F_M(q_t)$, where $q_t$ is the target's $u$ of
# lesson 04. So $W$ stands twice in the loss, once under the behaviours and once under the targets, and its gradient is
# the sum of both roads. One pass over all rows does that by itself, because $x^\top dz$ already sums over rows:
# %%
q, dh = rng.standard_normal((2, I)), rng.standard_normal((2, O))
_, dW_history, db_history = perceptron_backward(dy, cache)
_, dW_target, db_target = perceptron_backward(dh, perceptron_forward(q, W, b)[1])
_, stacked = perceptron_forward(np.concatenate([x, q]), W, b)
_, dW_both, db_both = perceptron_backward(np.concatenate([dy, dh]), stacked)
assert relative_error(dW_history + dW_target, dW_both) < 1e-14 and relative_error(db_history + db_target, db_both) < 1e-14
both = lambda W: loss(x @ W + b) + (dh * np.maximum(q @ W + b, 0)).sum()
assert scoreboard(("W, both uses", dW_history + dW_target, W, both))

# %% [markdown]
# ## The package: three groups of different widths
#
# `CommonSpace` embeds all groups of a batch. Our made-up problem has items (11 wide), queries (7) and coupons (2); all
# end up in $D = 6$ columns. We invent upstream gradients for $S$ and $h$ and check every entry of every $F_M$.
# %%
problem = toy_problem(np.random.default_rng(5))
space, params, batch = problem.model.space, problem.params, problem.batch
S, h, bias, space_cache = space.forward(params, batch)  # bias: a number per target, of lesson 14
print("widths", {g.name: g.width for g in space.groups}, " S", S.shape, " h", h.shape)
dS, dh, gradients = rng.standard_normal(S.shape), rng.standard_normal(h.shape), Gradients()
space.backward(dS, dh, np.zeros_like(bias), space_cache, gradients)


def space_loss(_):  # reads params, in which the scoreboard moves one number
    S, h, _, _ = space.forward(params, batch)
    return (dS * S).sum() + (dh * h).sum()


names = [name for name in params if name.startswith("F_M")]
assert scoreboard(*[(name, gradients.total()[name], params[name], space_loss) for name in names])

# %% [markdown]
# ## The picture
#
# One history in time order. Rows of $u$ are as long as their group is wide; in $S$ all rows are equally long. Where relu
# made a zero, no gradient passes.
# %%
with figure("05_common_space", columns=2, size=(10, 4.2)) as (fig, axes):
    some = range(batch.offsets[4], batch.offsets[4] + 8)  # of the fifth history
    colours, labels = ["Blues", "Greens", "Oranges"], ["an item", "a query", "a coupon"]
    for place, row in enumerate(some):
        g = int(batch.group[row])
        width = space.groups[g].width
        kw = {"cmap": colours[g], "vmin": -0.1, "vmax": 2.5, "aspect": "auto"}
        axes[0].imshow(np.full((1, width), 1.2), extent=(0, width, place + 0.9, place + 0.1), **kw)
        axes[0].text(width + 0.2, place + 0.5, f"{labels[g]}, {width} wide", va="center", fontsize=9)
        axes[1].imshow(S[row][None], extent=(0, 6, place + 0.9, place + 0.1), **(kw | {"vmin": 0}))
        axes[1].text(6.2, place + 0.5, f"relu(u W + b), W of {space.groups[g].name} [{width},6]", va="center", fontsize=9)
        for column in np.flatnonzero(S[row] == 0):
            axes[1].text(column + 0.5, place + 0.5, "0", ha="center", va="center", fontsize=8, color="0.5")
    axes[0].set(title="u: every group has its own width", xlim=(0, 16), xlabel="columns of u")
    axes[1].set(title="S: one space, D = 6; relu made the zeros", xlim=(0, 14), xlabel="columns of S", xticks=[0, 6])
    for axis in axes:
        axis.set(ylim=(8, 0), yticks=np.arange(8) + 0.5, yticklabels=range(8), ylabel="behaviour, in time order")
assert (S == 0).any() and (S > 0).any()

# %% [markdown]
# ## What people get wrong
# %%
assigned = {}
for gradient in (dW_history, dW_target):  # 1. the second use overwrites the first
    assigned["W"] = gradient
print(f"1. = instead of + for the second use: error {relative_error(assigned['W'], dW_both):.2f}")
assert relative_error(assigned["W"], dW_both) > 0.1

through_dy = dy * (dy > 0)  # 2. relu on the gradient itself instead of a gate by the forward pass
print(f"2. dy * (dy > 0) instead of dy * (y > 0): error {relative_error(through_dy, dz):.2f}")
assert relative_error(through_dy, dz) > 0.1

print(f"3. db as a mean over rows: error {relative_error(dz.mean(0), db):.2f}. The mean belongs to the loss, not to the layer")
assert relative_error(dz.mean(0), db) > 0.5

numeric = numeric_gradient(lambda b: perceptron_forward(x, W, b)[0].sum(), np.full(O, -100.0))
print("4. with a bias of -100 all outputs are 0, and so is every gradient:", numeric, "- a dead relu cannot bring itself back")
assert not numeric.any()

# %% [markdown]
# ## Your turn
#
# Write the backward pass of a perceptron, then hunt a bug: `python -m lessons.exercises check 05` (from the repository's
# root).
# %%
print("lesson 05 done: dx = dz Wᵀ, dW = xᵀ dz, db = Σ dz; and a perceptron with two uses gets the sum")
