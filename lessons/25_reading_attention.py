# %% [markdown]
# # Lesson 25. Reading attention: columns, squares, and weights that sleep
#
# *Before it: lessons 06 (spaces), 09 and 12 (the two attentions), 16 (what a number means). About 40 minutes.*
#
# The paper looks into a trained model (Figures 3, 4, Table 4): spaces differ; some attend **in columns** (all look at the same
# few behaviours), some **in dense squares** (a kind looks at a kind); recent behaviours get more vanilla attention. But in a heat
# map one sees what one wants to see. So we plant an answer, and measure.
# $A$ $[n,n]$: the weights of one space, rows summing to 1; $g_i$: the kind of behaviour $i$. Take the unevenness apart:
#
# $$ A_{ij} - \tfrac1n = \underbrace{(\bar A_j - \tfrac1n)}_{column} + \underbrace{R_{g_i g_j}}_{square} + rest_{ij}, \qquad
#    \bar A_j = \tfrac1n \sum_i A_{ij}, \quad R_{ab} = \text{mean of } A_{ij} - \bar A_j \text{ over } g_i = a,\ g_j = b $$
#
# Columns: what all readers have in common. Squares: what the readers of a kind do beyond that. The three parts are orthogonal
# (each sums to 0 where the one before is constant), so the sums of their squares are **shares** that add up to 1.

# %%
import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
from _common import figure, scoreboard

from atrank_np import Config, fit, read_log
from atrank_np.backend import make_backend
from atrank_np.datasets.protocol import split
from atrank_np.evaluation.attention import attention_by_elapsed, look_inside
from atrank_np.evaluation.scoring import score, test_task
from atrank_np.layers.attention import attention_forward, softmax_backward, softmax_forward
from atrank_np.metrics import auc
from atrank_np.runs.trained import assemble


# %% [markdown]
# ## The slow version, symbol by symbol; then fast, with the evenness: entropy over $\ln n$
# %%
def shares_slow(A, g):  # [n,n], [n] -> columns, squares
    n, columns, squares = len(A), 0, 0
    mean = [sum(A[i][j] for i in range(n)) / n for j in range(n)]
    for i, j in np.ndindex(n, n):
        block = [A[p][q] - mean[q] for p in range(n) for q in range(n) if g[p] == g[i] and g[q] == g[j]]
        columns, squares = columns + (mean[j] - 1 / n) ** 2, squares + (sum(block) / len(block)) ** 2
    return columns / ((A - 1 / n) ** 2).sum(), squares / ((A - 1 / n) ** 2).sum()


def read(A, g):  # [n,n], [n] -> evenness, columns, squares
    n, mean, same = len(A), A.mean(0), g[:, None] == g
    smooth = same / same.sum(0)  # a product with it takes means over a kind
    parts = (A - 1 / n, mean - 1 / n + 0 * A, smooth @ (A - mean) @ smooth)
    whole, columns, squares = ((part**2).sum() for part in parts)
    return evenness(A), columns / (whole + 1e-12), squares / (whole + 1e-12)


def evenness(A):  # [..., n] -> number
    return -(A * np.log(np.maximum(A, 1e-30))).sum(-1).mean() / np.log(A.shape[-1])


rng = np.random.default_rng(25)
for n in (2, 5, 9):
    A, g = softmax_forward(3 * rng.standard_normal((n, n)))[0], rng.integers(2, size=n)
    assert np.allclose(read(A, g)[1:], shares_slow(A, g))

# %% [markdown]
# ## With a pencil: read first what you know
#
# Kinds a, b, a, b. All look at the last: columns 1. All look at their own kind: the average reader looks at all alike, columns 0,
# squares 1. Half of each: $\bar A = (⅛, ⅛, ⅛, ⅝)$, columns $4·(3·(⅛)^2 + (⅜)^2) = ¾$ of an unevenness of 1; squares ¼.
# %%
ab = np.array([0, 1, 0, 1])
same, last = (ab[:, None] == ab) / 2, np.tile([0.0, 0, 0, 1], (4, 1))
known = {"even": np.full((4, 4), 0.25), "columns": last, "squares": same, "half of each": (same + last) / 2}
print(*(f"{name}: evenness, columns, squares {np.round(read(A, ab), 2)}" for name, A in known.items()), sep="\n")
assert np.allclose([read(A, ab)[1:] for A in known.values()], [(0, 0), (1, 0), (0, 1), (0.75, 0.25)])

# %% [markdown]
# ## The gradient: why weights start even, and may sleep on
#
# One reader with query $s$; the rows it reads, $C_j = m + \epsilon\,\delta_j$, are much alike. Lesson 09: $da_j = dc \cdot v_j$,
# $dx_j = a_j (da_j - \langle a, da\rangle)$. Alike rows have alike values, so $dx$ is of the order of $\epsilon$. Then $dW =
# s \otimes \sum_j dx_j C_j$. But $\sum_j dx_j = 0$, so what the rows have in common falls out: $\sum_j dx_j C_j =
# \epsilon \sum_j dx_j \delta_j$. **$dW$ is of the order of $\epsilon^2$**: nothing to choose from, nothing to learn from.
#
# Why should rows be alike? Because (5) and (6) have no residual connection around the attention: $C_i$ knows of behaviour $i$
# only through what $i$ looks at. **Who reads evenly forgets himself**: all rows of the history become one, and the vanilla
# attention above has nothing to choose from. The layers must wake one after the other. (`--variant residual`: +0.0064 on Beauty.)
# %%
n, D, d = 5, 7, 3
m, delta, s, dc = rng.random(D), rng.standard_normal((n, D)), rng.random(d), rng.standard_normal(d)
W, Q = 0.1 * rng.standard_normal((d, D)), rng.random((D, d))


def one_reader(C, W):  # [n,D], [d,D] -> c [d], dx [n], dW [d,D]
    a, v = softmax_forward(C @ W.T @ s)[0], np.maximum(C @ Q, 0)
    dx = softmax_backward(v @ dc, a)
    return a @ v, dx, np.outer(s, dx @ (C - C.mean(0)))  # without the common part: it adds nothing


C = m + 0.1 * delta
_, dx, dW = one_reader(C, W)
from_x = lambda x: dc @ (softmax_forward(x)[0] @ np.maximum(C @ Q, 0))
assert scoreboard(("x scores", dx, C @ W.T @ s, from_x), ("W", dW, W, lambda W: dc @ one_reader(C, W)[0]))
sizes = [[np.linalg.norm(dy) for dy in one_reader(m + epsilon * delta, W)[1:]] for epsilon in (0.1, 0.01, 0.001)]
assert np.allclose(np.diff(np.log10(sizes), axis=0), [-1, -2], atol=0.1)  # a tenth of the difference, a hundredth of dW
P, *whole = rng.standard_normal((6, 6)), np.array([0, 6]), np.array([0, 6])
even, _ = attention_forward(P, P, P, P[0], np.zeros((2, 3, 6)), P, P[0], *whole)  # W = 0
assert np.allclose(even, even[0])


# %% [markdown]
# ## Two logs with a planted answer
#
# **Bought tells**: a user has a brand; what he buys is of it, what he views is of any. All should look at the bought: columns.
# **Kind tells**: three kinds of things, and in each a brand of his. To know his brand of tea, tell tea from the rest: squares.
# We read 150 test rankings with `look_inside` (what `python -m atrank_np.explain` draws), and ask whether the weights matter:
# **take a layer's choice away** ($W_k = 0$) **and score again**. The second log is learned twice, once from 8 times the $W_k$.
# %%
def planted(users, kinds, brands, bought):
    events = ["user,action,object,time"]
    for user in range(users):
        mine, day = rng.integers(brands, size=kinds), 0
        for _ in range(rng.integers(8, 17)):
            day, kind, buys = day + int(2 ** rng.uniform(0, 5)), rng.integers(kinds), rng.random() < bought
            brand = mine[kind] if buys else rng.integers(brands)
            events.append(f"u{user},{'buy' if buys else 'view'},{kind}_{brand}_{rng.integers(20)},{day * 86400}")
    objects = [f"{k}_{b}_{i},k{k},b{b}" for k in range(kinds) for b in range(brands) for i in range(20)]
    schema = ["[groups.items]", "buckets = 8", 'target_actions = ["buy"]', "[groups.items.features]"]
    schema += [f'{name} = {{kind = "categorical", size = 16}}' for name in ("kind", "brand")]
    with tempfile.TemporaryDirectory() as folder:
        for name, lines in ("events.csv", events), ("items.csv", ["object,kind,brand", *objects]), ("schema.toml", schema):
            (Path(folder) / name).write_text("\n".join(lines) + "\n")
        return read_log(folder)


settings = dict(width=32, spaces=4, decay=0.3, dense_init=0.18, table_init=0.3, item_bias=False, epochs=6, seed=2)
config = Config(evaluations=1, eval_negatives=4, **settings)
WORDS = "evenness", "columns", "squares", "squares, kinds shuffled", "vanilla: evenness", "vanilla: to the planted", "apart"


def study(log, wake):
    parts, items, found, looks, aucs = split(log), log.catalogues["items"], [], [], []
    start = assemble(log, parts, config)
    start.params |= {name: np.float32(wake) * start.params[name] for name in ("self.W", "vanilla.W")}
    trained, task = fit(log, config, resume=start).trained, test_task(log, parts.test, config)
    for user, object, at in list(zip(parts.test.user, parts.test.object, parts.test.time))[:150]:
        look = look_inside(trained, log, log.users[user], items.objects[object], at)
        rows = slice(log.offsets[user], log.offsets[user] + len(look.elapsed))
        kind, of_target = items.features["kind"][log.object[rows]], items.features["kind"][object]
        if len(log.actions) > 1:  # here what matters is the action
            kind, of_target = log.action[rows] == log.actions.index("buy"), True
        by_chance, planted = rng.permutation(kind), kind == of_target
        own = [[*read(A, kind), read(A, by_chance)[2]] for A in look.self_attention]
        vanilla = [[evenness(v), v[planted].sum() - planted.mean()] for v in look.vanilla_attention]
        apart = np.mean([abs(A - B).sum(1).mean() / 2 for A, B in combinations(look.self_attention, 2)])
        found.append(np.c_[own, vanilla, np.full(config.spaces, apart)])
        looks.append((look, kind))
    for off in ("nothing", "self.W", "vanilla.W"):
        params = {name: 0 * w if name == off else w for name, w in trained.params.items()}
        backend = make_backend(trained.model(), params, config, trained.step, trained.table_scale)
        aucs.append(auc(score(backend, log.schema, parts.events, task)))
    return trained, np.mean(found, 0).T, aucs, looks


bought, kinds = planted(500, 1, 16, 0.5), planted(700, 3, 8, 1)
studies = {"bought": study(bought, 1), "kind": study(kinds, 1), "kind, 8 W": study(kinds, 8)}
for name, (_, measures, aucs, _) in studies.items():
    print(f"{name}, by space:", *(f"  {word:23} {value.round(2)}" for word, value in zip(WORDS, measures)), sep="\n")
    print("  AUC ± s.e.; self even; vanilla even:", *(f"{a.mean:.3f} ± {a.se:.3f}" for a in aucs))
columns, asleep, (squares, by_chance) = studies["bought"][1][1], studies["bought"][1][4], studies["kind, 8 W"][1][2:4]
assert columns.max() > 0.8 and asleep.min() > 0.95 and squares.max() > 0.15 > 2 * by_chance.max()

# %% [markdown]
# Squares are there where planted; columns too, and beside the squares as large ones that nobody planted. **Vanilla attention may
# sleep**: even, it changes no AUC of the first log. In the second it earns 0.03, awake (8 $W_k$) no more: values do the work too.
# %%
with figure("25_reading_attention", columns=4, size=(15, 4)) as (fig, axes):
    shown = ("bought", columns.argmax(), "views | bought"), ("kind, 8 W", squares.argmax(), "kind 1 | 2 | 3")
    for axis, (name, k, words) in zip(axes, shown):
        look, kind = max(studies[name][3], key=lambda pair: np.prod(np.unique(pair[1], return_counts=True)[1]))  # a mixed one
        order = np.argsort(kind, kind="stable")
        axis.imshow(look.self_attention[k][order][:, order], cmap="Blues", vmin=0)
        [draw(i + 0.5, color="C3") for i in np.flatnonzero(np.diff(kind[order])) for draw in (axis.axhline, axis.axvline)]
        axis.set(title=f"{name}: a user, space {k + 1}", xlabel=f"who is read: {words}", ylabel="reader", xticks=[], yticks=[])
    for n, (name, (_, measures, aucs, _)) in enumerate(studies.items()):
        axes[2].scatter(measures[1], measures[2], label=name, color=f"C{n}")
        axes[3].errorbar(np.arange(3) + n / 12, [a.mean for a in aucs], [a.se for a in aucs], fmt="o", color=f"C{n}")
    axes[2].set(title="each space of three models", xlabel="columns", ylabel="squares", xlim=(0, 1.05), ylim=(-0.02, 0.6))
    axes[2].legend()
    axes[3].set(title="AUC ± 1 s.e.: does it matter?", xticks=range(3), xticklabels=["whole", "self even", "vanilla even"])

# %% [markdown]
# ## What people get wrong
# %%
print("1. a map coloured from its least weight to its largest, 0.164 and 0.169, say: drama out of nothing")
print("2. Table 4 (0.249 for [0, 2) days, falling to 0.119) without the share of even weights, which falls as well:")
for first, last, count, mean, even in attention_by_elapsed(studies["kind"][0], kinds, 1000)[:6]:
    print(f"   [{first}, {last}) days: mean vanilla weight {mean:.3f}, even share {even:.3f} ({count})")
# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 25`: the shares of a heat map, and Table 4 with its even share.
# %%
print("lesson 25 done: plant the answer, measure columns and squares, take the layer away; rows alike teach attention nothing")
