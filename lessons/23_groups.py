# %% [markdown]
# # Lesson 23. Groups: behaviours of different widths in one history
#
# *Before it: lessons 03 (embeddings), 04 (time), 05 ($F_M$ and the common space), 14. About 30 minutes.*
#
# A history mixes what cannot be compared: items with a category and a shop, queries of some words, coupons of a shop. Each group
# $i$ has its own features, its own width $b_i$, its own clock, and its own perceptron into the one space where they meet:
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\mathrm{bucketize}_i(t_j)) + \mathrm{lookup}^a_i(a_j) \quad [b_i]
#    \qquad (1)\ S = \mathrm{concat}_i\, F_{M_i}(u_{bg_i}), \quad F_{M_i}: [b_i] \to [D] $$
#
# Tables of features that groups have in common (here category and shop) are shared; time tables never are. A target may be of any
# group: it takes the same road as the behaviours of its group, with elapsed time 0, so $h_t = F_{M_g}(q_t)$.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.datasets.log import Bag
from atrank_np.datasets.packing import bucketize
from atrank_np.gradcheck import dense, random_batch, relative_error
from atrank_np.models.common_space import CommonSpace, FeatureColumn, Gradients, GroupSpace

MINUTE, HOUR, DAY = 60, 3600, 86400
WORDS, SHOPS = ("unknown", "tea", "book", "bike"), ("unknown", "anchor", "bridge")  # the rows of the two shared tables

# %% [markdown]
# ## Three groups
#
# | group | features: table (width) | $b_i$ | clock |
# |---|---|---|---|
# | items | category: `category` (3), shop: `shop` (2) | 5 | minutes |
# | queries | tokens: `category` (3), the mean of their rows | 3 | minutes |
# | coupons | shop: `shop` (2) | 2 | hours |
#
# Row 0 of a catalogue and of a table is `unknown`. Six behaviours in time order; ages are to the moment of ranking.
# %%
codes = lambda *values: np.array(values, np.int32)
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
elapsed = np.array([5 * DAY, 3 * HOUR, 90 * MINUTE, 80 * MINUTE, 5 * MINUTE, 2 * MINUTE])
target_group, target_object = np.array([0, 0, 2], np.int8), codes(2, 4, 1)  # two items and a coupon are ranked

# %% [markdown]
# ## Each group its own clock
#
# The bucket is the bit length of elapsed // unit. An event of 5 minutes is worth a fine clock; a coupon lives for days.
# %%
buckets = np.array([g.buckets for g in GROUPS])
bucket = bucketize(elapsed, UNIT[group], buckets[group])
slow = [min(int(seconds // UNIT[g]).bit_length(), GROUPS[g].buckets - 1) for seconds, g in zip(elapsed, group)]
print("groups", group.tolist(), " buckets", bucket.tolist(), " on a clock of days", bucketize(elapsed, DAY, 14).tolist())
assert bucket.tolist() == slow


# %% [markdown]
# ## The slow version: one behaviour after the other, each by the rules of its group
# %%
def ids_of(column, object):  # the rows of the table that a feature of an object is the mean of: one, or a bag's
    if column.kind == "tokens":
        return column.values.ids[slice(*column.values.offsets[object : object + 2])]
    return column.values[[object]]


def embed_slow(g, object, bucket, action):  # -> u [b_i]
    parts = [params[f"table.{column.table}"][ids_of(column, object)].mean(0) for column in GROUPS[g].columns]
    return np.concatenate(parts) + params[f"time.{GROUPS[g].name}"][bucket] + params[f"action.{GROUPS[g].name}"][action]


def F_M(g, u):  # [b_i] -> [D]
    return np.maximum(u @ params[f"F_M.{GROUPS[g].name}.W"] + params[f"F_M.{GROUPS[g].name}.b"], 0)


def slow_space():
    S = np.array([F_M(g, embed_slow(g, *rest)) for g, *rest in zip(group, object, bucket, action)])
    h = [F_M(g, embed_slow(g, o, 0, GROUPS[g].target_action)) for g, o in zip(target_group, target_object)]
    return S, np.array(h)


print("widths of u:", [len(embed_slow(*row)) for row in zip(group, object, bucket, action)], " S", slow_space()[0].shape)

# %% [markdown]
# ## The gradient: gather, go back through your own $F_M$, scatter
#
# Group by group: `rows` are the places of its behaviours among the $N$ rows, `places` those of its targets among the $T$. A row
# belongs to exactly one group, so gathering is `dS[rows]` and nothing is lost or counted twice. Then lesson 05 and 03:
#
# $$ dz = [dS_{rows}; dh_{places}] \circ [z > 0] \quad dW_i = u^\top dz \; d\mathrm{bias}_i = \sum dz \quad du = dz\,W_i^\top $$
#
# $du$ is cut at the features' widths; time and action get all of it. **What is used by several gets the sum**: $F_{M_i}$ of
# behaviours and targets, the table `category` of items and queries, `shop` of items and coupons.
# %%
dS, dh = rng.standard_normal((6, D)), rng.standard_normal((3, D))
gradient, shares = {name: np.zeros_like(w) for name, w in params.items()}, {}
for i, g in enumerate(GROUPS):
    rows, places = np.flatnonzero(group == i), np.flatnonzero(target_group == i)
    told = [(object[r], bucket[r], action[r]) for r in rows] + [(target_object[t], 0, g.target_action) for t in places]
    u = np.array([embed_slow(i, *row) for row in told])
    dz = np.concatenate([dS[rows], dh[places]]) * (F_M(i, u) > 0)
    gradient[f"F_M.{g.name}.W"], gradient[f"F_M.{g.name}.b"] = u.T @ dz, dz.sum(0)
    du = dz @ params[f"F_M.{g.name}.W"].T
    for (what, when, how), du_row in zip(told, du):
        gradient[f"time.{g.name}"][when] += du_row
        gradient[f"action.{g.name}"][how] += du_row
        for column, part in zip(g.columns, np.split(du_row, np.cumsum([c.size for c in g.columns])[:-1])):
            table, ids = f"table.{column.table}", ids_of(column, what)
            share = shares.setdefault((table, g.name), np.zeros_like(params[table]))
            np.add.at(share, ids, part / len(ids))  # a mean hands each of its rows a part
for (table, _), share in shares.items():
    gradient[table] += share  # the sum over the groups

loss = lambda _: sum((upstream * y).sum() for upstream, y in zip((dS, dh), slow_space()))
assert scoreboard(*[(name, gradient[name], w, loss) for name, w in params.items()])

# %% [markdown]
# ## The package: `CommonSpace`, one block of arrays per group
# %%
batch = random_batch(rng, GROUPS, [4, 2], [2, 1])._replace(  # two histories; here they do not matter yet
    group=group, object=object, bucket=bucket, action=action, target_group=target_group, target_object=target_object
)
S, h, _, cache = space.forward(params, batch)
gradients = Gradients()
space.backward(dS, dh, np.zeros(3), cache, gradients)
assert all(relative_error(*both) < 1e-14 for both in zip((S, h), slow_space()))
for name, theirs in gradients.total().items():
    assert relative_error(dense(theirs, params[name].shape), gradient[name]) < 1e-14, name

# %% [markdown]
# ## With a pencil: a shared table
#
# The table `category` has width 1. An item of category tea hears $du = 3$, one of category book $5$. A query "tea tea bike" hears
# 6: a mean of three rows, so 2 for each, and tea twice. Tea gets $3 + 2·2 = 7$, book 5, bike 2. Items alone would say 3, 5, 0.
# %%
pencil = np.zeros(4, int)
np.add.at(pencil, [1, 2], [3, 5])  # items
np.add.at(pencil, [1, 1, 3], 6 // 3)  # the query
print("pencil:", *(f"{word} {value}" for word, value in zip(WORDS, pencil)))
assert pencil.tolist() == [0, 7, 5, 2]

# %% [markdown]
# ## The picture
#
# Left: the six behaviours in time order, as wide as their group says, and the same six in $S$. Right: what the rows of `category`
# hear on the way back, from items and from queries, stacked number by number: neither group alone is the gradient.
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
    axes[0].set(title="u, ragged, and S: six rows of D = 4", yticks=range(6), yticklabels=names, xticks=[])
    axes[0].invert_yaxis()
    for n, name in enumerate(("items", "queries")):
        share = shares["table.category", name][1:].ravel()
        place = np.arange(9) + np.repeat(np.arange(3), 3) * 0.7 + 0.35 * n
        axes[1].bar(place, share, 0.35, color=COLOURS[name], label=f"from {name}")
    axes[1].plot(place - 0.175, gradient["table.category"][1:].ravel(), "k_", ms=14, label="their sum: the gradient")
    axes[1].axhline(0, color="k", lw=0.8)
    axes[1].set(title="gradient of the shared table, three numbers a row", xticks=place[1::3], xticklabels=WORDS[1:])
    axes[1].legend(fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
last, right = shares["table.category", "queries"], gradient["table.category"]
print(f"1. `=` for `+=`: the group that comes last wins. Error of the table: {relative_error(last, right):.2f}")
by_group = np.argsort(group, kind="stable")
print(f"2. rows left in the order of the groups: error of S {relative_error(S[by_group], S):.2f}. The second history, rows")
print(f"   4 and 5, now owns behaviours {by_group[4:].tolist()}")
print("3. one clock of days for all: buckets", bucketize(elapsed, DAY, 14).tolist(), "- five behaviours look alike")
other = np.maximum(embed_slow(2, 1, 0, 2) @ params["F_M.items.W"][3:] + params["F_M.items.b"], 0)
print(f"4. the coupon's target through the items' F_M (its shop columns fit): error {relative_error(other, h[2]):.2f}")
assert relative_error(last, right) > 0.1 < relative_error(S[by_group], S)

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 23`: gather and scatter by groups, then a bug hunt.
# %%
print("lesson 23 done: each group its width, clock and F_M; shared tables and F_M of behaviours and targets get sums")
