# %% [markdown]
# # Lesson 03. Embeddings: rows of a table, and how they learn
#
# *Before it: lesson 02 (numeric derivatives; its conventions are repeated below). About 40 minutes.*
#
# An object is a name, such as "shoes". A model computes with numbers. The simplest way from one to the other is a **table**:
# each name has a row of $E$ numbers, at first random, and training changes the rows until they serve. Such a row is called an
# *embedding*. The forward pass is nothing but reading rows. The gradient is easy as well, and still it is the part that is
# written wrong most often, because of names that occur twice.
#
# ## The idea, with small numbers
#
# A table has 4 rows of 2 numbers. A batch reads the rows 2, 0, 2: three rows come out, and the first and the third are equal.
#
# Say more of the outputs' numbers would raise the loss by (1, 10), (2, 20), (3, 30) per unit: one pair for each of the three
# outputs. What is the gradient of the table? Row 0 was read once, by the second output: it gets (2, 20). Row 2 was read
# *twice*. If its first number grows a little, both the first and the third output grow, and both change the loss. So it gets
# the sum, (1, 10) + (3, 30) = (4, 40). Rows 1 and 3 were not read and get nothing.
#
# ## The equation
#
# In the paper, behaviour $j$ of group $i$ becomes
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\dots) + \mathrm{lookup}^a_i(a_j), \qquad
#    \mathrm{emb}_i(o) = \text{the embeddings of its features, side by side} $$
#
# This lesson is about $\mathrm{emb}_i$; lesson 04 adds the other two. A feature of an object is one of three: one value, such
# as its category (a row of a table); several values, such as the words of a query (a *bag*: the mean of their rows); or a
# number, such as a price.
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. $dy$ is given by the layers above, the *upstream gradient*; to test a
# layer alone we draw it at random and take $L = \sum dy \circ y$, where $\circ$ is the product entry by entry, `*` (lesson 02
# shows why random). $[\text{condition}]$ is 1 where the condition holds, else 0. `relative_error` is the largest difference
# of two arrays divided by their largest entry. `scoreboard((name, gradient, array, f))` compares a gradient with numeric
# derivatives of `f(array)`.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import dense, relative_error
from atrank_np.layers.embedding import (
    bag_backward,
    bag_forward,
    lookup_backward,
    lookup_forward,
    number_backward,
    number_forward,
)


# %% [markdown]
# ## One value: the slow version
#
# $N$ outputs, a table of $V$ rows, $E$ numbers each. `ids[n]` says which row output $n$ reads:
#
# $$ y_{ne} = \text{table}_{ids_n,\, e} $$
# %%
def lookup_slow(table, ids):  # [V,E], [N] -> [N,E]
    y = np.zeros((len(ids), table.shape[1]))
    for n in range(len(ids)):
        for e in range(table.shape[1]):
            y[n, e] = table[ids[n], e]
    return y


rng = np.random.default_rng(3)
N, V, E = 7, 5, 3
table = rng.standard_normal((V, E))
ids = np.array([2, 0, 2, 4, 1, 2, 4])  # 2 stands there three times, 4 twice, 3 never
y = table[ids]  # NumPy reads all rows at once
assert np.array_equal(y, lookup_slow(table, ids))

# %% [markdown]
# ## Its gradient
#
# Which outputs hold one chosen number $\text{table}_{ve}$? All $y_{ne}$ with $ids_n = v$, each with the factor 1. A number
# with several uses gets the sum of what comes back from them:
#
# $$ dtable_{ve} = \sum_n [ids_n = v]\; dy_{ne} $$
#
# In words: each upstream row goes back to the row of the table that it was read from, and where several arrive they are
# added. This is called *scatter-add*.
# %%
dy = rng.standard_normal((N, E))  # the upstream gradient


def loss(y):
    return (dy * y).sum()


def loss_from_table(table):
    return loss(lookup_slow(table, ids))


dtable = np.zeros((V, E))
for n in range(N):
    dtable[ids[n]] += dy[n]
assert scoreboard(("table", dtable, table, loss_from_table))

# %% [markdown]
# There is a second way to see it. Write a matrix with a 1 in row $n$ at column $ids_n$ and zeros elsewhere (the *one-hot*
# rows). Then $y = \text{onehot} \cdot \text{table}$ is a matrix product, of which all factors but one per row are 0. The
# gradient of a product $Y = A B$ by $B$ is $A^\top dY$ (lesson 05 derives it), and $\text{onehot}^\top dy$ is the same sum.
# Nobody computes it so: for a table of a million rows nearly all products would be by zero.
# %%
one_hot = np.zeros((N, V))
one_hot[np.arange(N), ids] = 1
assert np.array_equal(one_hot @ table, y)
assert relative_error(one_hot.T @ dy, dtable) < 1e-15

# %% [markdown]
# ## The package's version: only the rows that were read
#
# The paper's Electronics data have 63,001 items with 64 numbers each: 4 million numbers. A step of training reads perhaps 200
# of the rows. A gradient of the whole table would be 4 million numbers, nearly all 0, to be written and read in every step.
# So `lookup_backward` returns `Rows(ids, values)`: the rows that were read, each once and in order, and what they get.
# `dense` makes the whole array of it, for comparing.
# %%
_, cache = lookup_forward(table, ids)
rows = lookup_backward(dy, cache)
print("rows", rows.ids.tolist(), "of", V, "; values", rows.values.shape)
assert rows.ids.tolist() == [0, 1, 2, 4]  # row 3 was not read
assert relative_error(dense(rows, (V, E)), dtable) < 1e-15

pencil = lookup_backward(np.array([[1.0, 10], [2, 20], [3, 30]]), np.array([2, 0, 2]))
print("with a pencil: rows", pencil.ids.tolist(), "get", pencil.values.tolist())
assert pencil.ids.tolist() == [0, 2]
assert pencil.values.tolist() == [[2, 20], [4, 40]]


# %% [markdown]
# ## Several values: a bag
#
# A query is a bag of words. Its embedding is the mean of its words' rows. For bag $i$ with $m_i$ words:
#
# $$ y_{ie} = \frac{1}{m_i} \sum_{p \in \text{bag } i} \text{table}_{ids_p,\, e} $$
#
# Example: the bag (1, 1, 3) has $m = 3$, so $y = \frac13 (2\,\text{row}_1 + \text{row}_3)$. If 6 comes back to $y$, row 1
# gets $\frac23 · 6 = 4$ and row 3 gets 2. An empty bag gives zeros; it depends on nothing, so nothing goes back.
#
# For the gradient ask again where $\text{table}_{ve}$ stands: at every place $p$ with $ids_p = v$, in the sum of that place's
# bag, with the factor $1/m_i$. So each place adds $dy_i / m_i$ to its row:
#
# $$ dtable_{ve} = \sum_i \sum_{p \in \text{bag } i} [ids_p = v]\; \frac{dy_{ie}}{m_i} $$
#
# In memory all bags lie one after another; bag $i$ is `words[offsets[i] : offsets[i + 1]]`.
# %%
words = np.array([1, 1, 3, 0, 2, 1, 4])
offsets = np.array([0, 0, 3, 4, 4, 7])  # five bags: (), (1 1 3), (0), (), (2 1 4)


def bag_slow(table):  # [V,E] -> [5,E]
    y = np.zeros((5, E))
    for i in range(5):
        bag = words[offsets[i] : offsets[i + 1]]
        for v in bag:
            y[i] += table[v] / len(bag)
    return y


dy_bag = rng.standard_normal((5, E))


def loss_of_bags(table):
    return (dy_bag * bag_slow(table)).sum()


dtable_bag = np.zeros((V, E))
for i in range(5):
    bag = words[offsets[i] : offsets[i + 1]]
    for v in bag:
        dtable_bag[v] += dy_bag[i] / len(bag)
assert scoreboard(("table, bags", dtable_bag, table, loss_of_bags))
y_bag, bag_cache = bag_forward(table, words, offsets)
assert relative_error(y_bag, bag_slow(table)) < 1e-15
assert relative_error(dense(bag_backward(dy_bag, bag_cache), (V, E)), dtable_bag) < 1e-15

# %% [markdown]
# ## A number
#
# A price has no table. It becomes a row by a vector $w$ and a vector $b$, both learned: $y_{ne} = x_n\, w_e + b_e$, where
# $x_n$ is the price, standardised (minus the mean, divided by the standard deviation of the training data). $w_e$ stands in
# each row $n$ with the factor $x_n$, and $b_e$ in each row with the factor 1:
#
# $$ dw_e = \sum_n x_n\, dy_{ne} \qquad db_e = \sum_n dy_{ne} $$
# %%
price = rng.standard_normal(N)
w = rng.standard_normal(E)
b = rng.standard_normal(E)
dw = price @ dy
db = dy.sum(0)


def loss_from_w(w):
    return loss(price[:, None] * w + b)


def loss_from_b(b):
    return loss(price[:, None] * w + b)


assert scoreboard(("w", dw, w, loss_from_w))
assert scoreboard(("b", db, b, loss_from_b))
_, number_cache = number_forward(price, w, b)
package_dw, package_db = number_backward(dy, number_cache)
assert relative_error(package_dw, dw) < 1e-15
assert relative_error(package_db, db) < 1e-15

# %% [markdown]
# ## Side by side, and one table for two features
#
# The features of an object stand side by side: with two features of width $E$ the row has $2E$ numbers. What comes back is
# cut at the same place. There is nothing to compute. But two features may use the *same* table: an item and a coupon have the
# same shops. Then the table has two users, and what comes back from both is added.
# %%
first, second = ids, ids[::-1]
both = np.concatenate([table[first], table[second]], axis=1)  # [N, 2E]
dboth = rng.standard_normal(both.shape)


def loss_of_both(table):
    return (dboth * np.concatenate([table[first], table[second]], axis=1)).sum()


dfirst, dsecond = dboth[:, :E], dboth[:, E:]
from_first = dense(lookup_backward(dfirst, first), (V, E))
from_second = dense(lookup_backward(dsecond, second), (V, E))
assert scoreboard(("two users", from_first + from_second, table, loss_of_both))

# %% [markdown]
# ## The picture
#
# Left: each upstream row goes to the row of the table that it was read from; three of them meet at row 2 (red), two at row 4.
# Middle: the right gradient. Right: what the short line `dtable[ids] += dy` gives. NumPy reads all the rows first, then adds,
# then writes them back. A row that is written three times keeps only the last result, and two shares are lost (red numbers).
# %%
lost = np.zeros((V, E))
lost[ids] += dy

# %%
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
    axes[0].set(xlim=(-2.6, 7.6), ylim=(7, -1), title="scatter-add: shares of one row are added")
    axes[0].axis("off")
    panels = (
        (axes[1], dtable, "right: the sum over all uses"),
        (axes[2], lost, "wrong: dtable[ids] += dy"),
    )
    for axis, gradient, title in panels:
        axis.imshow(gradient, cmap="RdBu", vmin=-limit, vmax=limit)
        for v, e in np.ndindex(V, E):
            bad = abs(gradient[v, e] - dtable[v, e]) > 1e-12
            weight = "bold" if bad else "normal"
            axis.text(e, v, f"{gradient[v, e]:.2f}", ha="center", va="center", color="C3" if bad else "k", weight=weight)
        axis.set(title=title, xticks=range(E), yticks=range(V), yticklabels=[f"row {v}" for v in range(V)])
        axis.set_xlabel("column of the table")
        axis.spines[:].set_visible(False)

# %% [markdown]
# ## What people get wrong
#
# 1. **`dtable[ids] += dy`**, as in the picture. Without repeated ids it is right, so a test with the ids 0, 1, 2 does not
#    find it. Use `np.add.at`, or sort the ids and add up equal ones, as the package does.
# 2. **The $1/m$ of the bag is forgotten.** Then a query of ten words moves its rows ten times too far.
# 3. **`table[ids] -= rate * dy`** as the step of training: the same mistake once more. Sum first, then write each row once.
# 4. **Row 0 learns.** In this package id 0 means `unknown`: an object never seen in training. Its row must stay zero. The
#    layer does not know that; the model leaves row 0 out when it collects gradients.
# %%
for seed in range(10):
    draw = np.random.default_rng(seed)
    upstream = draw.standard_normal((N, E))
    right = dense(lookup_backward(upstream, ids), (V, E))
    short = np.zeros((V, E))
    short[ids] += upstream
    assert np.array_equal(short[2], upstream[5])  # only the last of three uses is left
    assert relative_error(short, right) > 0.1
    few = np.array([2, 0, 4])  # no repeats
    short_few = np.zeros((V, E))
    short_few[few] += upstream[:3]
    assert np.array_equal(short_few, dense(lookup_backward(upstream[:3], few), (V, E)))
    no_size = np.zeros((V, E))
    np.add.at(no_size, words, dy_bag[np.repeat(np.arange(5), np.diff(offsets))])
    stepped = table.copy()
    stepped[ids] -= 0.1 * upstream
    assert np.abs(stepped - (table - 0.1 * right)).max() > 0.05
print(f"1. dtable[ids] += dy: error {relative_error(short, right):.2f} in the last of ten draws; without repeats none")
print(f"2. a bag's gradient without 1/m: error {relative_error(no_size, dtable_bag):.2f}")
print(f"3. a step with table[ids] -= …: off by up to {np.abs(stepped - (table - 0.1 * right)).max():.2f}")
print("4. the layer's gradient for row 0:", dense(rows, (V, E))[0].round(2))
assert relative_error(no_size, dtable_bag) > 0.3
assert dense(rows, (V, E))[0].any()

# %% [markdown]
# ## Your turn
#
# A difference of two rows, a bag whose words have weights, and a bag that keeps the largest number of each column:
# `python -m lessons.exercises check 03` (from the repository's root).
# %%
print("lesson 03 done: a row of a table gets the sum of what comes back from all its uses, and no other row gets anything")
