# %% [markdown]
# # Lesson 25. Reading attention: columns, squares, and what the weights earn
#
# *Before it: lessons 06 (spaces), 09 and 12 (the two attentions), 16 (AUC). About 50 minutes. It trains nine small models:
# some 20 seconds.*
#
# The paper looks into a trained model (Figures 3 and 4, Table 4) and reports three things. Latent spaces differ. Some spaces
# attend **in columns**: all behaviours look at the same few. Some attend **in dense squares**: behaviours of one kind look at
# behaviours of one kind. And recent behaviours get more of the vanilla attention.
#
# A heat map always looks like something. How do we know that what we see is there, and that it matters? This lesson has three
# tools. **Measure** columns and squares as numbers. **Plant** an answer in a made-up log and see whether the numbers find it.
# **Take the weights away** and see what the model loses.
#
# ## The idea with four behaviours
#
# A user has four behaviours, of the kinds a, b, a, b. $A_{ij}$ is how much reader $i$ looks at $j$; each row sums to 1. Here
# are two extreme maps, and the map halfway between them:
#
# $$ \text{columns} \begin{pmatrix} 0&0&0&1\\0&0&0&1\\0&0&0&1\\0&0&0&1 \end{pmatrix} \qquad
#    \text{squares} \begin{pmatrix} ½&0&½&0\\0&½&0&½\\½&0&½&0\\0&½&0&½ \end{pmatrix} \qquad
#    \text{half of each} \begin{pmatrix} ¼&0&¼&½\\0&¼&0&¾\\¼&0&¼&½\\0&¼&0&¾ \end{pmatrix} $$
#
# The third has both. To say how much of each, we take its unevenness apart. First, what do all readers have in common? The
# mean of each column: $(⅛, ⅛, ⅛, ⅝)$. That is the column part. What is left is what a reader does beyond that; averaged over
# the readers of a kind and the behaviours of a kind it is the square part.
#
# ## The equation
#
# $n$ behaviours, $g_i$ is the kind of behaviour $i$. Even weights are $1/n$, and so
#
# $$ A_{ij} - \tfrac1n = \underbrace{(\bar A_j - \tfrac1n)}_{column} + \underbrace{R_{g_i g_j}}_{square} + rest_{ij} \qquad
#    \bar A_j = \tfrac1n \sum_i A_{ij} \qquad R_{ab} = \text{mean of } A_{ij} - \bar A_j \text{ over } g_i = a,\ g_j = b $$
#
# The three parts are orthogonal: each sums to 0 wherever the one before is constant. So their sums of squares add up to that
# of the whole, as the sides of a right angle do, and each has a **share** of it. A second number says how uneven a map is at
# all: the **evenness** of a row is its entropy over $\ln n$. It is 1 for even weights, and 0 if one behaviour gets
# everything.

# %%
import os
import tempfile
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _common import figure, scoreboard

from atrank_np import read_log
from atrank_np.config import Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.evaluation.attention import attention_by_elapsed, look_inside
from atrank_np.evaluation.scoring import score
from atrank_np.layers.attention import attention_forward, softmax_backward, softmax_forward
from atrank_np.metrics import auc
from atrank_np.runs.trained import assemble
from atrank_np.training import fit

# %% [markdown]
# ## The slow version, symbol by symbol; then fast
# %%


def shares_slow(A, g):  # [n,n], [n] -> share of columns, share of squares
    n = len(A)
    mean = [sum(A[i][j] for i in range(n)) / n for j in range(n)]
    whole, columns, squares = 0.0, 0.0, 0.0
    for i in range(n):
        for j in range(n):
            block = []
            for p in range(n):
                for q in range(n):
                    if g[p] == g[i] and g[q] == g[j]:
                        block.append(A[p][q] - mean[q])
            whole += (A[i][j] - 1 / n) ** 2
            columns += (mean[j] - 1 / n) ** 2
            squares += (sum(block) / len(block)) ** 2
    return columns / whole, squares / whole


def evenness(A):  # [..., n] -> number
    entropy = -(A * np.log(np.maximum(A, 1e-30))).sum(-1)
    return entropy.mean() / np.log(A.shape[-1])


def read(A, g):  # [n,n], [n] -> evenness, share of columns, share of squares
    n, mean = len(A), A.mean(0)
    same = g[:, None] == g
    smooth = same / same.sum(0)  # a product with it takes means over a kind
    whole = ((A - 1 / n) ** 2).sum() + 1e-12
    columns = n * ((mean - 1 / n) ** 2).sum()
    squares = ((smooth @ (A - mean) @ smooth) ** 2).sum()
    return evenness(A), columns / whole, squares / whole


rng = np.random.default_rng(25)
for n in (2, 5, 9):
    A, g = softmax_forward(3 * rng.standard_normal((n, n)))[0], rng.integers(2, size=n)
    assert np.allclose(read(A, g)[1:], shares_slow(A, g))

# %% [markdown]
# The four behaviours again. The third map: columns have $4 · (3 · (⅛)^2 + (⅜)^2) = ¾$ of an unevenness of 1, squares ¼.
# %%
ab = np.array([0, 1, 0, 1])
same, last = (ab[:, None] == ab) / 2, np.tile([0.0, 0, 0, 1], (4, 1))
known = {"even": np.full((4, 4), 0.25), "columns": last, "squares": same, "half of each": (same + last) / 2}
for name, A in known.items():
    print(f"{name:13} evenness, columns, squares:", np.round(read(A, ab), 2))
assert np.allclose([read(A, ab)[1:] for A in known.values()], [(0, 0), (1, 0), (0, 1), (0.75, 0.25)])

# %% [markdown]
# ## Why weights may stay even: the gradient
#
# Before we read trained weights, one question: what makes a layer learn to look at anything? Take one reader with the query
# $s$. It reads rows $C_j$ that are **nearly alike**: $C_j = m + \epsilon\,\delta_j$, the same $m$ for all, and small
# differences. As in lesson 09, $dZ$ is the derivative of the loss by $Z$, and $dc$ is a random upstream gradient, so
# $L = dc \cdot c$:
#
# (F1 to F4 number the lines below; B4 is the step back through F4, and so on.)
#
# $$ x_j = s\, W C_j \qquad a = \mathrm{softmax}(x) \qquad v_j = \mathrm{relu}(C_j Q) \qquad c = \sum_j a_j v_j $$
# %%
n, D, d = 5, 7, 3
m, delta = rng.random(D), rng.standard_normal((n, D))
s, dc = rng.random(d), rng.standard_normal(d)
W, Q = 0.1 * rng.standard_normal((d, D)), rng.random((D, d))
C = m + 0.1 * delta
x = C @ W.T @ s  # F1
a, _ = softmax_forward(x)  # F2
v = np.maximum(C @ Q, 0)  # F3
c = a @ v  # F4

# %% [markdown]
# **B4.** $c = \sum_j a_j v_j$, so $da_j = dc \cdot v_j$. Alike rows have alike values, so all $da_j$ are nearly the same
# number.
# %%
da = v @ dc
assert scoreboard(("a", da, a, lambda a: dc @ (a @ v)))

# %% [markdown]
# **B2.** The softmax takes off the mean: $dx_j = a_j (da_j - \langle a, da \rangle)$. What the $da_j$ have in common is gone.
# What is left is as small as $\epsilon$.
# %%
dx = softmax_backward(da, a)


def loss_from_x(x):
    return dc @ (softmax_forward(x)[0] @ v)


assert scoreboard(("x", dx, x, loss_from_x))

# %% [markdown]
# **B1.** $x_j = \sum_{pq} s_p W_{pq} C_{jq}$, so $dW_{pq} = s_p \sum_j dx_j C_{jq}$. All $dx_j$ sum to 0, so the common part
# $m$ falls out once more: $\sum_j dx_j C_j = \epsilon \sum_j dx_j \delta_j$. **$dW$ is as small as $\epsilon^2$.**
# %%
dW = np.outer(s, dx @ C)


def loss_from_W(W):
    return loss_from_x(C @ W.T @ s)


assert scoreboard(("W", dW, W, loss_from_W))


def sizes_at(epsilon):  # -> the sizes of dx and dW
    C = m + epsilon * delta
    a, _ = softmax_forward(C @ W.T @ s)
    dx = softmax_backward(np.maximum(C @ Q, 0) @ dc, a)
    return np.linalg.norm(dx), np.linalg.norm(np.outer(s, dx @ (C - C.mean(0))))


sizes = np.array([sizes_at(epsilon) for epsilon in (0.1, 0.01, 0.001)])
for epsilon, (of_x, of_W) in zip((0.1, 0.01, 0.001), sizes):
    print(f"rows differ by {epsilon:5}: size of dx {of_x:.1e}, of dW {of_W:.1e}")
assert np.allclose(np.diff(np.log10(sizes), axis=0), [-1, -2], atol=0.1)  # a tenth of the difference, a hundredth of dW

# %% [markdown]
# So a layer that reads rows which are alike has no choice to make, and gets almost no gradient to learn one. When are rows
# alike? In the paper's equation (6), as printed, $C_i$ knows of behaviour $i$ only through what $i$ looks at. If all readers
# look evenly, all rows $C_i$ are the same, and the vanilla attention above has nothing to choose from. ATRank's default adds
# $S$ to $C$ (lesson 11), and so rows differ from the first step on. We train both.
# %%
P = rng.standard_normal((6, 6))
everything = np.array([0, 6])
even, _ = attention_forward(P, P, P, P[0], np.zeros((2, 3, 6)), P, P[0], everything, everything)  # W = 0: even weights
assert np.allclose(even, even[0])

# %% [markdown]
# ## Two logs with a planted answer
#
# **"bought"**: every user has a brand. What they buy is of this brand, what they view is of any. To know the brand, all
# should look at the bought things: **columns**. **"kind"**: there are three kinds of things, and for each kind a user has a
# brand. To know their brand of tea, look at their tea: **squares**.
#
# Each model is trained with three seeds: one run shows what can happen, three show what happens again. We read 80 test
# rankings of each with `look_inside` (what `python -m atrank_np.explain` draws). The kinds are also shuffled before squares
# are measured: blocks of a few cells fit noise as well, and this says how much.
#
# **What do the weights earn?** We set $W_k = 0$ in one layer of the trained model, so that all its weights are even, and test
# again, without training. The AUC that is lost is what this layer's choice earns, in this model.
# %%
SEEDS = range(int(os.environ.get("LESSON_SEEDS", 3)))
SETTINGS = dict(width=32, spaces=4, decay=0.3, dense_init=0.18, table_init=0.3, item_bias=False, epochs=6)
MEASURES = "evenness", "columns", "squares", "squares, kinds shuffled", "vanilla: evenness", "vanilla: to the planted"


def planted(users, kinds, brands, bought):
    events = ["user,action,object,time"]
    for user in range(users):
        mine, day = rng.integers(brands, size=kinds), 0
        for _ in range(rng.integers(8, 17)):
            day += int(2 ** rng.uniform(0, 5))
            kind, buys = rng.integers(kinds), rng.random() < bought
            brand = mine[kind] if buys else rng.integers(brands)
            events.append(f"u{user},{'buy' if buys else 'view'},{kind}_{brand}_{rng.integers(20)},{day * 86400}")
    objects = ["object,kind,brand"]
    for kind in range(kinds):
        for brand in range(brands):
            objects += [f"{kind}_{brand}_{i},k{kind},b{brand}" for i in range(20)]
    schema = ["[groups.items]", "buckets = 8", 'target_actions = ["buy"]', "[groups.items.features]"]
    schema += [f'{name} = {{kind = "categorical", size = 16}}' for name in ("kind", "brand")]
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in ("events.csv", events), ("items.csv", objects), ("schema.toml", schema):
            (Path(folder) / name).write_text("\n".join(lines) + "\n")
        return read_log(folder)


class Study(NamedTuple):
    trained: object
    measures: dict  # name -> [K], a number for each space
    apart: float  # how far two spaces differ: 0 equal, 1 nothing in common
    whole: np.ndarray  # [S] the AUC of each test user
    self_even: np.ndarray  # [S] the same with even weights in the self-attention
    vanilla_even: np.ndarray  # [S] … in the vanilla attention
    looks: list  # (what look_inside gives, the kind of each behaviour)


def read_rankings(trained, log, test):
    """The measures of each space [rankings, 6, K], and what was looked at."""
    items, measures, looks = log.catalogues["items"], [], []
    for user, object, at in list(zip(test.user, test.object, test.time))[:80]:
        look = look_inside(trained, log, log.users[user], items.objects[object], at)
        rows = slice(log.offsets[user], log.offsets[user] + len(look.elapsed))
        kind, of_target = items.features["kind"][log.object[rows]], items.features["kind"][object]
        if len(log.actions) > 1:  # here what matters is the action
            kind, of_target = log.action[rows] == log.actions.index("buy"), True
        by_chance, is_planted = rng.permutation(kind), kind == of_target
        of_self = [[*read(A, kind), read(A, by_chance)[2]] for A in look.self_attention]
        of_vanilla = [[evenness(v), v[is_planted].sum() - is_planted.mean()] for v in look.vanilla_attention]
        measures.append(np.concatenate([of_self, of_vanilla], 1).T)
        looks.append((look, kind))
    return np.array(measures), looks


def study(log, variant, seed):
    config = Config(variant=variant, evaluations=1, eval_negatives=4, seed=seed, **SETTINGS)
    parts = Protocol(log, config)
    trained = fit(log, config, resume=assemble(parts)).trained
    measures, looks = read_rankings(trained, log, parts.test)
    differ = []
    for look, _ in looks:
        for A, B in combinations(look.self_attention, 2):
            differ.append(np.abs(A - B).sum(1).mean() / 2)
    aucs = []
    for off in ("nothing", "self.W", "vanilla.W"):
        params = {name: 0 * w if name == off else w for name, w in trained.params.items()}
        backend = replace(trained, params=params).backend()
        aucs.append(auc(score(backend, parts, parts.task)).each)
    return Study(trained, dict(zip(MEASURES, measures.mean(0))), np.mean(differ), *aucs, looks)


bought, kinds = planted(500, 1, 16, 0.5), planted(700, 3, 8, 1)
ROWS = {"bought, as printed": (bought, "printed"), "kind, as printed": (kinds, "printed"), "kind, with S": (kinds, "")}
studies = {name: [study(*row, seed) for seed in SEEDS] for name, row in ROWS.items()}


def earned(name, layer):
    """What the choice of a layer, self or vanilla, earns: for each seed a difference of two AUCs, and its standard error."""
    found = []
    for one in studies[name]:
        d = one.whole - getattr(one, f"{layer}_even")  # user by user: lesson 22
        found.append((d.mean(), d.std(ddof=1) / len(d) ** 0.5))
    return np.array(found)


def over_seeds(name, measure):  # -> [seeds, K]
    return np.array([one.measures[measure] for one in studies[name]])


for name, models in studies.items():
    print(f"{name}: AUC of {len(SEEDS)} seeds", *(f"{one.whole.mean():.3f}" for one in models))
    for layer in ("self", "vanilla"):
        print(f"  the choice of {layer:8} earns", *(f"{gain:+.4f} ± {se:.4f}" for gain, se in earned(name, layer)))
    print(f"  two spaces differ by {np.mean([one.apart for one in models]):.2f}; mean, least, largest over spaces and seeds:")
    for measure in MEASURES:
        values = over_seeds(name, measure)
        print(f"    {measure:23} {values.mean():5.2f} {values.min():5.2f} {values.max():5.2f}")

# %% [markdown]
# ## What holds with every seed, and is asserted below
#
# * **Columns are found where they were planted**: in the first log a space has a share of columns above 0.7.
# * **Squares are found where they were planted**: in the second log the largest share is three times and more what shuffled
#   kinds give. But columns are there as well, larger on average, and nobody planted them. A column in a picture proves
#   nothing.
# * **As printed, the self-attention does the work.** Its choice earns something with each seed, and more than 0.01 on
#   average. (How much depends on the seed: with eight seeds it was 0.002 to 0.083 in the first log.) The vanilla weights of
#   the first log stay nearly even (above 0.95) and earn nothing: this is the layer without a choice, as derived above.
# * **With S added it is the other way round.** The vanilla attention's choice earns 0.05 and more, that of the self-attention
#   nothing (less than 0.01). The AUC rises by 0.05 and more: each behaviour still says what it is.
# * **So a picture does not tell which layer works.** The self-attention *with S* has columns and squares as clear as the one
#   without. Its weights earn nothing.
#
# What a choice earns is what THIS model loses without it. It does not say how good a model would be that was trained without
# it.
# %%
for one in studies["bought, as printed"]:
    assert one.measures["columns"].max() > 0.7 and one.measures["vanilla: evenness"].min() > 0.95
for name in ("bought, as printed", "kind, as printed"):
    of_self = earned(name, "self")[:, 0]
    assert of_self.min() > 0 and of_self.mean() > 0.01
assert (np.abs(earned("bought, as printed", "vanilla")[:, 0]) < 0.005).all()
for name in ("kind, as printed", "kind, with S"):
    for one in studies[name]:
        assert one.measures["squares"].max() > 3 * one.measures["squares, kinds shuffled"].max()
    assert over_seeds(name, "columns").mean() > over_seeds(name, "squares").mean()
assert (earned("kind, with S", "vanilla")[:, 0] > 0.05).all()
assert (np.abs(earned("kind, with S", "self")[:, 0]) < 0.01).all()
for with_S, printed in zip(studies["kind, with S"], studies["kind, as printed"]):
    assert with_S.whole.mean() > printed.whole.mean() + 0.05

# %% [markdown]
# ## Table 4: old behaviours stand in long histories
#
# The paper's Table 4 says that recent behaviours get more: a mean weight of 0.249 for the first two days, falling to 0.119.
# But each row of weights sums to 1. In a history of 30 everybody gets little, and a behaviour that is 100 days old stands in
# a long history more often than a fresh one. So the mean weight falls with age **even if all weights are even**. Beside each
# mean weight stand even weights of the same behaviours, and their ratio says what the model prefers.
#
# In our logs time has nothing to do with the answer. So the ratio should stay near 1, while the mean weight falls:
# %%
for seed, one in enumerate(studies["kind, as printed"]):
    found = attention_by_elapsed(one.trained, kinds, 1000)
    ages = [row for row in found if row[2] > 200]  # age groups with enough behaviours
    weights, evens = np.array([row[3] for row in ages]), np.array([row[4] for row in ages])
    ratios = weights / evens
    print(f"seed {seed}: mean weights {weights.round(3)}, over even ones {ratios.round(2)}")
    assert weights[-1] < 0.5 * weights[0] and np.abs(ratios - 1).max() < 0.15

# %% [markdown]
# ## The picture
#
# Left and second: the self-attention of one user of each log, readers from top to bottom, sorted by kind (red lines). Third:
# the share of columns and of squares, a point for each space of each model. Right: what the choice of a layer earns, a point
# for each seed with its standard error.
# %%
with figure("25_reading_attention", columns=4, size=(16, 4.2)) as (fig, axes):
    shown = ("bought, as printed", "columns", "views | bought"), ("kind, as printed", "squares", "kind 1 | 2 | 3")
    for axis, (name, measure, words) in zip(axes, shown):
        one = max(studies[name], key=lambda one: one.measures[measure].max())
        k = one.measures[measure].argmax()
        look, kind = max(one.looks, key=lambda pair: np.prod(np.unique(pair[1], return_counts=True)[1]))  # a mixed one
        order = np.argsort(kind, kind="stable")
        axis.imshow(look.self_attention[k][order][:, order], cmap="Blues", vmin=0)
        for i in np.flatnonzero(np.diff(kind[order])):
            axis.axhline(i + 0.5, color="C3")
            axis.axvline(i + 0.5, color="C3")
        axis.set(title=f"{name}:\na user, space {k + 1}", xlabel=f"who is read: {words}", ylabel="reader", xticks=[], yticks=[])
    for place, name in enumerate(studies):
        axes[2].scatter(over_seeds(name, "columns"), over_seeds(name, "squares"), s=14, label=name, color=f"C{place}")
        for at, layer in enumerate(("self", "vanilla")):
            gain, se = earned(name, layer).T
            x = at + 0.22 * (place - 1) + np.linspace(-0.06, 0.06, len(gain))
            axes[3].errorbar(x, gain, se, fmt="o", ms=4, color=f"C{place}")
    axes[2].set(title="each space of all models", xlabel="share of columns", ylabel="share of squares")
    axes[2].set(xlim=(0, 1.05), ylim=(-0.02, 0.8))
    axes[2].legend(fontsize=8, loc="upper right")
    axes[3].axhline(0, color="k", lw=0.8)
    axes[3].set(title="AUC that a layer's choice earns, ± 1 se", xticks=(0, 1), xlim=(-0.5, 1.5), ylabel="AUC")
    axes[3].set_xticklabels(["self-attention", "vanilla attention"])

# %% [markdown]
# ## What people get wrong
#
# 1. **Colours from the least weight to the largest.** Weights of 0.164 to 0.169 are almost even, and such a map looks full of
#    structure. Start the colours at 0, and print the evenness beside it.
# 2. **One space of one seed.** Below: how much the columns of the largest space differ between seeds.
# 3. **Squares without the shuffled kinds.** Few behaviours and many kinds make blocks of one cell, which "explain" everything.
# 4. **A weight taken for an effect.** Lesson 26 is about that.
# %%
nearly_even = 0.164 + 0.005 * rng.random((6, 6))
print(f"1. weights of 0.164 to 0.169: evenness {evenness(nearly_even / nearly_even.sum(1, keepdims=True)):.5f}")
largest = over_seeds("kind, as printed", "squares").max(1)
print("2. the largest share of squares of a space, by seed:", largest.round(2))
noise = softmax_forward(rng.standard_normal((6, 6)))[0]
shares = [read(noise, np.arange(6) // size)[2] for size in (3, 2, 1)]
print(f"3. noise, six behaviours: squares {shares[0]:.2f} with 2 kinds, {shares[1]:.2f} with 3, {shares[2]:.2f} with 6")
assert shares[0] < shares[1] < shares[2]

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 25` (from the repository's root): the shares of a heat map, Table 4 with its even
# weights, and what two layers of attention together read from a behaviour.
# %%
print("lesson 25 done: measure, plant an answer, take the weights away; a clear picture need not matter")
