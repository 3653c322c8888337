# %% [markdown]
# # Lesson 03. Embeddings, and why their gradient is a scatter-ADD
#
# *Before it: lesson 02 (upstream gradient, scoreboard). About 20 minutes.*
#
# A behaviour's object is a name, such as "shoes"; a model needs numbers. An **embedding table** has one row of $E$
# numbers for each of $V$ values, and looking up is nothing but taking rows. Section "behaviour embedding" of the paper:
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\dots) + \mathrm{lookup}^a_i(a_j), \qquad
#    \mathrm{emb}_i(o) = \text{its features' embeddings, side by side} $$
#
# This lesson is about $\mathrm{emb}_i$. A feature is one value (a row), a bag of values (the mean of its rows), or a
# number.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import dense, relative_error
from atrank_np.layers.embedding import bag_backward, bag_forward, lookup_backward, lookup_forward, number_backward, number_forward

# %% [markdown]
# ## The slow version: a lookup is a matrix product
#
# Give value $v$ the row vector $(0, …, 1, …, 0)$ with the 1 at place $v$. Then $y = \text{one-hot} \cdot \text{table}$:
# all the products are by 0 but one.
# %%
rng = np.random.default_rng(3)
N, V, E = 7, 5, 3
table, ids = rng.standard_normal((V, E)), np.array([2, 0, 2, 4, 1, 2, 4])  # 2 stands there three times, 3 never
one_hot = np.zeros((N, V))
one_hot[np.arange(N), ids] = 1
y, cache = lookup_forward(table, ids)
assert np.array_equal(one_hot @ table, y) and np.array_equal(table[ids], y)

# %% [markdown]
# ## The gradient
#
# Symbol by symbol, $y_{ne} = \sum_v \text{one-hot}_{nv}\, \text{table}_{ve}$. The entry $\text{table}_{ve}$ stands in
# every row $n$ with $\text{ids}_n = v$, each time with factor 1. A number with several uses gets the **sum** of what
# flows back:
#
# $$ d\text{table}_{ve} = \sum_n \text{one-hot}_{nv}\, dy_{ne} = \sum_{n:\ \text{ids}_n = v} dy_{ne} $$
#
# Row $v$ collects the upstream rows of all its uses; this is called scatter-add. A value that is not there gets nothing.
# %%
dy = rng.standard_normal((N, E))
dtable = np.zeros((V, E))
for n in range(N):
    dtable[ids[n]] += dy[n]  # one n after the other: here += is right
assert relative_error(dtable, one_hot.T @ dy) < 1e-15

rows = lookup_backward(dy, cache)  # the package's version
print("touched rows", rows.ids, "of a table of", V, " their gradients", rows.values.shape)
assert relative_error(dense(rows, table.shape), dtable) < 1e-15
assert rows.ids.tolist() == [0, 1, 2, 4]  # sorted, each once; row 3 does not appear

# %% [markdown]
# `Rows(ids, values)` holds the touched rows only. Why not the whole array? The paper's Electronics data have 63,001 items
# of 64 numbers; a batch of 32 targets with short histories touches some 200 of them. A whole gradient would have 4
# million entries, nearly all zero, written and read in each step.
#
# ## A bag of values, and a number
#
# A query is a bag of words. Its embedding is the mean of $m$ rows, so each row has the factor $1/m$, and a word that stands
# twice has it twice. An empty bag is zeros: it depends on nothing and gives nothing back.
#
# $$ y = \frac{1}{m} \sum_{p \in \text{bag}} \text{table}_{\text{ids}_p} \quad\Rightarrow\quad
#    d\text{table}_v = \sum_{p:\ \text{ids}_p = v} \frac{dy_{\text{bag of } p}}{m_{\text{bag of } p}} $$
#
# A price $x$ (standardised by the training data) has no table: $y = x\,w + b$ with a vector $w$ as wide as a feature, so
# $dw_e = \sum_n x_n\, dy_{ne}$ and $db_e = \sum_n dy_{ne}$.
# %%
words, offsets = np.array([1, 1, 3, 0, 2, 1]), np.array([0, 0, 2, 3, 3, 6])  # five bags: (), (1 1), (3), (), (0 2 1)


def bag_slow(table):
    y = np.zeros((5, E))
    for i in range(5):
        bag = words[offsets[i] : offsets[i + 1]]
        for v in bag:
            y[i] += table[v] / len(bag)
    return y


y_bag, bag_cache = bag_forward(table, words, offsets)
assert relative_error(bag_slow(table), y_bag) < 1e-15 and not y_bag[[0, 3]].any()

price, w, b = rng.standard_normal(N), rng.standard_normal(E), rng.standard_normal(E)
dw, db = number_backward(dy, number_forward(price, w, b)[1])
assert scoreboard(
    ("table", dtable, table, lambda table: (dy * table[ids]).sum()),
    ("table, bags", bag_backward(dy[:5], bag_cache), table, lambda table: (dy[:5] * bag_slow(table)).sum()),
    ("w of a price", dw, w, lambda w: (dy * (price[:, None] * w + b)).sum()),
    ("b of a price", db, b, lambda b: (dy * (price[:, None] * w + b)).sum()),
)

# %% [markdown]
# Features stand side by side, and so do their gradients: the first columns of $du$ belong to the first feature, and so on.
# There is nothing to compute, only to cut at the same places:
# %%
du = rng.standard_normal((N, 2 * E))
left, right = np.split(du, [E], axis=1)
assert scoreboard(
    (
        "side by side",
        dense(lookup_backward(left, ids), (V, E)) + dense(lookup_backward(right, ids[::-1]), (V, E)),
        table,
        lambda table: (du * np.concatenate([table[ids], table[ids[::-1]]], axis=1)).sum(),
    ),
)

# %% [markdown]
# Here both features used the *same* table, as the category of an item and that of a coupon do. Then both gradients go to
# it.
#
# ## With a pencil
#
# A table of 4 rows, looked up at 2, 0, 2, with the upstream rows (1, 10), (2, 20), (3, 30). Row 0 gets (2, 20); row 2 gets
# (1, 10) + (3, 30) = (4, 40); rows 1 and 3 get nothing.
# %%
pencil_ids, pencil_dy = np.array([2, 0, 2]), np.array([[1.0, 10], [2, 20], [3, 30]])
pencil = lookup_backward(pencil_dy, pencil_ids)
print("rows", pencil.ids, "get", pencil.values.tolist())
assert pencil.ids.tolist() == [0, 2] and pencil.values.tolist() == [[2, 20], [4, 40]]

# %% [markdown]
# ## The picture
#
# Left: each upstream row travels to the table row that it came from; three of them meet at row 2, two at row 4. Right: what
# `dtable[ids] += dy` makes of it. NumPy first reads all rows, adds, then writes them back; a row that is written three
# times keeps only the last.
# %%
lost = np.zeros((V, E))
lost[ids] += dy
with figure("03_scatter_add", columns=3, size=(11, 4.2)) as (fig, axes):
    limit = 1.5 * np.abs(dtable).max()  # the darkest colours are hard to read on
    axes[0].imshow(dy, cmap="RdBu", vmin=-limit, vmax=limit, extent=(0, 1.5, 6.5, -0.5), aspect="auto")
    axes[0].imshow(dtable, cmap="RdBu", vmin=-limit, vmax=limit, extent=(4.5, 6, 5.5, 0.5), aspect="auto")
    for n, v in enumerate(ids):
        colour, width = ("C3", 2) if v == 2 else ("0.6", 1.2)
        axes[0].annotate("", (4.45, v + 1), (1.55, n), arrowprops={"arrowstyle": "->", "color": colour, "lw": width})
        axes[0].text(-0.15, n, f"dy of id {v}", ha="right", va="center", color=colour if v == 2 else "k")
    for v in range(V):
        axes[0].text(6.15, v + 1, f"row {v}", va="center", color="C3" if v == 2 else "k")
    axes[0].set(xlim=(-2.6, 7.6), ylim=(7, -1), title="scatter-add: what meets is added")
    axes[0].axis("off")
    for axis, gradient, title in ((axes[1], dtable, "sum over all uses"), (axes[2], lost, "dtable[ids] += dy")):
        axis.imshow(gradient, cmap="RdBu", vmin=-limit, vmax=limit)
        for v, e in np.ndindex(V, E):
            bad = abs(gradient[v, e] - dtable[v, e]) > 1e-12
            weight = "bold" if bad else "normal"
            axis.text(e, v, f"{gradient[v, e]:.2f}", ha="center", va="center", color="C3" if bad else "k", weight=weight)
        axis.set(title=title, xticks=[], yticks=range(V), yticklabels=[f"row {v}" for v in range(V)])
        axis.spines[:].set_visible(False)
    axes[2].set_xlabel("red: repeats are lost")

# %% [markdown]
# ## What people get wrong
# %%
last = np.allclose(lost[2], dy[5])
print(f"1. dtable[ids] += dy: error {relative_error(lost, dtable):.2f}; row 2 holds only its last use: {last}")
assert relative_error(lost, dtable) > 0.1 and last
unique = np.zeros((V, E))
unique[[2, 0, 4]] += dy[[0, 1, 3]]  # why nobody notices: without repeats the two are the same
assert np.array_equal(unique, dense(lookup_backward(dy[[0, 1, 3]], np.array([2, 0, 4])), (V, E)))

no_size = np.zeros((V, E))
np.add.at(no_size, words, dy[np.repeat(np.arange(5), np.diff(offsets))])
error = relative_error(no_size, dense(bag_backward(dy[:5], bag_cache), (V, E)))
print(f"2. a bag's gradient without 1/size: error {error:.2f}; long bags shout")
assert error > 0.1

row_zero = dense(rows, table.shape)[0]
print("3. id 0 is `unknown`, a row that must stay zero, but this gradient of it is", row_zero.round(2))
assert row_zero.any()  # the layer does not know; the model leaves row 0 out, in Gradients.total

shifted = table.copy()
shifted[ids] -= 0.1 * dy  # 4. the same fault once more, in the update of the table
right_step = table.copy()
right_step[rows.ids] -= 0.1 * rows.values  # ids are unique here, so this is safe
off = np.abs(shifted - right_step).max()
print(f"4. table[ids] -= lr·dy steps wrong by up to {off:.2f}; sum first, then write each row once")
assert off > 0.05

# %% [markdown]
# ## Your turn
#
# Write the scatter-add and the bag's backward pass: `python -m lessons.exercises check 03` (from the repository's root).
# %%
print("lesson 03 done: a lookup's gradient adds up the upstream rows of equal ids, and touches no other row")
