# %% [markdown]
# # Lesson 23. Groups: behaviours of different widths in one history
#
# *Before it: lessons 03 (embeddings), 04 (time), 05 ($F_M$ and the common space), 14. About 40 minutes.*
#
# A history mixes things that cannot be compared. An item has a category and a shop. A query is some words. A coupon has a
# shop, and lives for days where a click lives for minutes. So each **group** has features of its own, a width of its own, a
# clock of its own, and a perceptron of its own. It leads into one space, where all behaviours have the same width and can
# attend to each other.
#
# ## The idea with one table
#
# Groups may have a feature in common. Let items have a category, and let the words of a query be categories too: "tea",
# "book", "bike". Both use **one table**, here of width 1. On the way back, an item of the category tea brings the gradient 3,
# one of the category book 5. A query "tea tea bike" brings 6. It was the mean of three rows, so each place gets 2, and tea
# stands there twice:
#
# | | tea | book | bike |
# |---|---|---|---|
# | from items | 3 | 5 | 0 |
# | from queries | 4 | 0 | 2 |
# | gradient of the table | **7** | **5** | **2** |
#
# Neither group alone is the gradient. **What is shared gets a sum; what is not shared stays apart.** That is all that groups
# add to the backward pass.
#
# ## The equation
#
# Behaviour $j$ of group $i$ has the width $b_i$:
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\mathrm{bucketize}_i(t_j)) + \mathrm{lookup}^a_i(a_j) \quad [b_i]
#    \qquad (1)\ S = \mathrm{concat}_i\, F_{M_i}(u_{bg_i}), \quad F_{M_i}: [b_i] \to [D] $$
#
# $\mathrm{emb}_i(o)$ puts the embeddings of the object's features side by side.
# $F_\theta(u) = \mathrm{relu}(u\,\theta_W + \theta_b)$. Tables of common features are shared; time tables never are. A target
# may be of any group. It goes the same way as the behaviours of its group, with elapsed time 0: $h_t = F_{M_g}(q_t)$.
#
# ## What the signs mean
#
# * $dZ$ (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$.
# * Attention stands above $S$ and $h$. Here it does not, so we make a loss of our own,
#   $L = \sum dS \circ S + \sum dh \circ h$ with random numbers $dS$ and $dh$, drawn once. Random, for with equal numbers some
#   wrong gradients would look right.
# * $A \circ B$ is the product entry by entry; $[\,\cdot\,]$ is 1 where the condition holds, else 0.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard` takes
#   rows of four: a name, our gradient, its array, and the rest of the computation as a function of this array, up to $L$.
#   It moves each entry by a little and says whether our gradient agrees.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.datasets.catalogue import Bag
from atrank_np.datasets.packing import bucketize
from atrank_np.gradcheck import dense, random_batch, relative_error
from atrank_np.models.common_space import CommonSpace, FeatureColumn, GroupSpace
from atrank_np.models.gradients import Gradients

MINUTE, HOUR, DAY = 60, 3600, 86400
WORDS, SHOPS = ("unknown", "tea", "book", "bike"), ("unknown", "anchor", "bridge")  # the rows of the two shared tables

pencil = np.zeros(4, int)
np.add.at(pencil, [1, 2], [3, 5])  # items
np.add.at(pencil, [1, 1, 3], 6 // 3)  # the query "tea tea bike"
print("the shared table gets:", *(f"{word} {value}" for word, value in zip(WORDS, pencil)))
assert pencil.tolist() == [0, 7, 5, 2]

# %% [markdown]
# ## Why not one width for all?
#
# One could give every behaviour all features of all groups, and fill what is missing with zeros. Then a query would have an
# empty shop and a coupon empty words. Each row would be as wide as all features together, and one matrix would have to suit a
# coupon and a query. With a matrix per group nothing is empty. Groups then meet in $S$; before that, they share only what the
# tables hold.
#
# And why is a time table never shared? "Three hours ago" says much about a click and little about a coupon, which lives for a
# week. The row of a bucket is added to all numbers of $u$, and these mean something else in each group; even the widths
# differ.
#
# ## Three groups
#
# | group | features: table (width) | $b_i$ | clock |
# |---|---|---|---|
# | items | category: `category` (3), shop: `shop` (2) | 5 | minutes |
# | queries | tokens: `category` (3), the mean of their rows | 3 | minutes |
# | coupons | shop: `shop` (2) | 2 | hours |
#
# Row 0 of a catalogue and of a table is `unknown`. Six behaviours in time order, and three targets: two items and a coupon.
# %%


def codes(*values):
    return np.array(values, np.int32)


category = FeatureColumn("category", "categorical", "category", 3, codes(0, 1, 2, 3, 1))  # items 1 … 4: tea, book, bike, tea
shop = FeatureColumn("shop", "categorical", "shop", 2, codes(0, 1, 2, 2, 1))
tokens = FeatureColumn("tokens", "tokens", "category", 3, Bag(codes(1, 1, 3), np.array([0, 0, 1, 3])))  # "tea", "tea bike"
coupon_shop = FeatureColumn("shop", "categorical", "shop", 2, codes(0, 1, 2))
GROUPS = [  # name, columns, width, buckets, the targets' action, objects
    GroupSpace("items", (category, shop), 5, 12, 0, 5),
    GroupSpace("queries", (tokens,), 3, 12, 1, 3),
    GroupSpace("coupons", (coupon_shop,), 2, 10, 2, 3),
]
D, UNIT = 4, np.array([MINUTE, MINUTE, HOUR])
space = CommonSpace(GROUPS, D, 3, {"category": len(WORDS), "shop": len(SHOPS)}, item_bias=False)
rng = np.random.default_rng(23)
params = {name: rng.standard_normal(shape) for name, shape in space.shapes().items()}
params["table.category"][0] = params["table.shop"][0] = 0
for name, w in params.items():
    print(f"  {name:16} {list(w.shape)}")

group = np.array([2, 0, 1, 0, 0, 1], np.int8)  # coupon, item, query, item, item, query
object, action = codes(2, 1, 2, 4, 3, 1), np.array([2, 0, 1, 0, 0, 1], np.int16)
elapsed = np.array([5 * DAY, 3 * HOUR, 90 * MINUTE, 80 * MINUTE, 5 * MINUTE, 2 * MINUTE])  # until the moment of ranking
target_group, target_object = np.array([0, 0, 2], np.int8), codes(2, 4, 1)

# %% [markdown]
# ## A clock for each group
#
# The bucket is the bit length of elapsed // unit (lesson 04). Five minutes are something on a clock of minutes, and nothing
# on a clock of days. With one clock of days, five of our six behaviours fall into the same bucket.
# %%
buckets = np.array([g.buckets for g in GROUPS])
bucket = bucketize(elapsed, UNIT[group], buckets[group])
by_hand = []
for seconds, g in zip(elapsed, group):
    by_hand.append(min(int(seconds // UNIT[g]).bit_length(), GROUPS[g].buckets - 1))
one_clock = bucketize(elapsed, DAY, 14)
print("groups", group.tolist(), " buckets", bucket.tolist(), " on a clock of days", one_clock.tolist())
assert bucket.tolist() == by_hand and set(one_clock[1:].tolist()) == {0}

# %% [markdown]
# ## The slow version: one behaviour after the other, each by the rules of its group
# %%


def rows_of(column, object):  # the rows of the table that a feature of an object is the mean of: one, or a bag's
    if column.kind == "tokens":
        start, stop = column.values.offsets[object : object + 2]
        return column.values.ids[start:stop]
    return column.values[[object]]


def embed_slow(g, object, bucket, action):  # -> u [b_g]
    name = GROUPS[g].name
    parts = []
    for column in GROUPS[g].columns:
        table = params[f"table.{column.table}"]
        parts.append(table[rows_of(column, object)].mean(0))
    return np.concatenate(parts) + params[f"time.{name}"][bucket] + params[f"action.{name}"][action]


def F_M(g, u):  # [b_g] -> [D]
    name = GROUPS[g].name
    return np.maximum(u @ params[f"F_M.{name}.W"] + params[f"F_M.{name}.b"], 0)


def slow_space():  # -> S [6,D], h [3,D]
    S, h = [], []
    for i in range(6):
        S.append(F_M(group[i], embed_slow(group[i], object[i], bucket[i], action[i])))
    for t in range(3):
        g = target_group[t]
        h.append(F_M(g, embed_slow(g, target_object[t], 0, GROUPS[g].target_action)))
    return np.array(S), np.array(h)


widths = [len(embed_slow(group[i], object[i], bucket[i], action[i])) for i in range(6)]
print("widths of u:", widths, "  S:", slow_space()[0].shape)

# %% [markdown]
# ## The gradient, one rule at a time
#
# **Gather.** Take one group $g$. `rows` are the places of its behaviours among the rows of $S$, `places` those of its
# targets. Each behaviour belongs to exactly one group. So the upstream gradient of the group is `dS[rows]` and `dh[places]`,
# one above the other: nothing is lost and nothing counted twice.
#
# **Relu and product**, as in lesson 05, with $z = u W + b$ of this group alone:
#
# $$ dz_{rp} = d_{rp}\,[z_{rp} > 0] \qquad dW_{qp} = \sum_r u_{rq}\, dz_{rp} \qquad db_p = \sum_r dz_{rp} \qquad
#    du_{rq} = \sum_p dz_{rp} W_{qp} $$
#
# The sums over $r$ go over behaviours **and** targets: $F_M$ is used by both. We do it for the items and check each.
# %%
dS, dh = rng.standard_normal((6, D)), rng.standard_normal((3, D))


def inputs_of(g):
    """(object, bucket, action) of the behaviours of a group, then of its targets; and their upstream gradient."""
    rows, places = np.flatnonzero(group == g), np.flatnonzero(target_group == g)
    told = [(object[r], bucket[r], action[r]) for r in rows]
    told += [(target_object[t], 0, GROUPS[g].target_action) for t in places]
    return told, np.concatenate([dS[rows], dh[places]])


def layer_backward(g):  # -> u, du [R,b_g], dW [b_g,D], db [D]
    told, upstream = inputs_of(g)
    u = np.array([embed_slow(g, *row) for row in told])
    dz = upstream * (F_M(g, u) > 0)
    return u, dz @ params[f"F_M.{GROUPS[g].name}.W"].T, u.T @ dz, dz.sum(0)


def loss_slow(_=None):  # the scoreboard moves one of the parameters in place, so the argument is not needed
    S, h = slow_space()
    return (dS * S).sum() + (dh * h).sum()


u_items, du_items, dW_items, db_items = layer_backward(0)
_, upstream_items = inputs_of(0)
assert scoreboard(
    ("u of items", du_items, u_items, lambda u: (upstream_items * F_M(0, u)).sum()),
    ("F_M.items.W", dW_items, params["F_M.items.W"], loss_slow),
    ("F_M.items.b", db_items, params["F_M.items.b"], loss_slow),
)

# %% [markdown]
# **The sum in $u$.** $u$ = features side by side + a time row + an action row. A sum hands its gradient to each summand
# unchanged. The features get the part of $du$ that stands at their columns. A mean over $n$ rows hands $1/n$ of it to each.
#
# **Tables.** Every behaviour that used a row adds its part (lesson 03), whatever its group. So `table.category` gets a sum
# over items and queries, `table.shop` one over items and coupons; a time table gets only its own group's.
# %%
gradient = {name: np.zeros_like(w) for name, w in params.items()}
shares = {}  # (table, group) -> what the group adds to a table's gradient
for g in range(3):
    name = GROUPS[g].name
    u, du, dW, db = layer_backward(g)
    gradient[f"F_M.{name}.W"], gradient[f"F_M.{name}.b"] = dW, db
    told, _ = inputs_of(g)
    for (what, when, how), du_row in zip(told, du):
        gradient[f"time.{name}"][when] += du_row
        gradient[f"action.{name}"][how] += du_row
        first = 0
        for column in GROUPS[g].columns:
            part = du_row[first : first + column.size]
            first += column.size
            ids = rows_of(column, what)
            share = shares.setdefault((column.table, name), np.zeros_like(params[f"table.{column.table}"]))
            np.add.at(share, ids, part / len(ids))
for (table, _), share in shares.items():
    gradient[f"table.{table}"] += share  # the sum over the groups
assert scoreboard(*[(name, gradient[name], w, loss_slow) for name, w in params.items()])

# %% [markdown]
# ## The package: `CommonSpace`, one block of arrays per group
# %%
batch = random_batch(rng, GROUPS, [4, 2], [2, 1])  # two histories; here it does not matter whose a behaviour is
batch = batch._replace(group=group, object=object, bucket=bucket, action=action)
batch = batch._replace(target_group=target_group, target_object=target_object)
S, h, _, cache = space.forward(params, batch)
slow_S, slow_h = slow_space()
assert relative_error(S, slow_S) < 1e-14 and relative_error(h, slow_h) < 1e-14
gradients = Gradients()
space.backward(dS, dh, np.zeros(3), cache, gradients)
for name, theirs in gradients.total().items():
    assert relative_error(dense(theirs, params[name].shape), gradient[name]) < 1e-14, name

# %% [markdown]
# ## The picture
#
# Left: the six behaviours in time order, as wide as their group says, and the same six in $S$. Right: what the rows of
# `category` get on the way back, from items and from queries, number by number. The black marks are the sum.
# %%
COLOURS = {"items": "C0", "queries": "C1", "coupons": "C2"}
with figure("23_groups", columns=2, size=(12.5, 3.8)) as (fig, axes):
    for i, g in enumerate(group):
        name, width = GROUPS[g].name, GROUPS[g].width
        axes[0].barh(i, np.full(width, 0.9), 0.7, np.arange(width), align="center", color=COLOURS[name])
        axes[0].annotate("", (7.9, i), (width + 0.1, i), arrowprops=dict(arrowstyle="->", color=COLOURS[name]))
        axes[0].text((width + 8) / 2, i, f"$F_M$ of {name}", ha="center", va="center", fontsize=8, bbox=dict(fc="w", ec="none"))
        axes[0].barh(i, np.full(D, 0.9), 0.7, 8 + np.arange(D), align="center", color=COLOURS[name], alpha=0.45)
    names = [GROUPS[g].name for g in group]
    axes[0].set(title="u, as wide as the group, and S: six rows of D = 4", yticks=range(6), yticklabels=names, xticks=[])
    axes[0].invert_yaxis()
    for n, name in enumerate(("items", "queries")):
        share = shares["category", name][1:].ravel()
        place = np.arange(9) + np.repeat(np.arange(3), 3) * 0.7 + 0.35 * n
        axes[1].bar(place, share, 0.35, color=COLOURS[name], label=f"from {name}")
    axes[1].plot(place - 0.175, gradient["table.category"][1:].ravel(), "k_", ms=14, label="their sum: the gradient")
    axes[1].axhline(0, color="k", lw=0.8)
    axes[1].set(title="gradient of the shared table, three numbers a row", xticks=place[1::3], xticklabels=WORDS[1:])
    axes[1].set(ylabel="gradient", xlabel="row of the table `category`")
    axes[1].legend(fontsize=8)

# %% [markdown]
# ## What people get wrong
#
# 1. **`=` where a sum belongs.** Then the group that comes last wins, and the table learns from it alone.
# 2. **Rows left in the order of the groups.** $S$ is computed group by group, and each row must go back to its place in the
#    history. If not, offsets give behaviours to other users.
# 3. **One clock for all.** See above: five behaviours in one bucket.
# 4. **A target through another group's $F_M$.** Nothing stops it if widths happen to fit.
# %%
last, right = shares["category", "queries"], gradient["table.category"]
print(f"1. the last group alone: error of the table {relative_error(last, right):.2f}")
by_group = np.argsort(group, kind="stable")
print(f"2. rows by group: error of S {relative_error(S[by_group], S):.2f}; history 2 now has behaviours {by_group[4:].tolist()}")
u_coupon = embed_slow(2, 1, 0, 2)
through_items = np.maximum(u_coupon @ params["F_M.items.W"][3:] + params["F_M.items.b"], 0)  # the columns of the shop fit
print(f"4. the coupon through the items' F_M: error {relative_error(through_items, h[2]):.2f}")
assert relative_error(last, right) > 0.1 and relative_error(S[by_group], S) > 0.1 and relative_error(through_items, h[2]) > 0.1

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 23` (from the repository's root): gather and scatter by groups; a learned weight for each
# group, which this lesson does not have; and a bug hunt where every sum is right.
# %%
print("lesson 23 done: each group has its width, clock and F_M; what groups or targets share gets a sum")
