# %% [markdown]
# # Lesson 26. Leave one out: is attention an explanation?
#
# *Before it: lessons 07 (softmax), 09 and 12 (the two attentions), 25 (reading attention). About 35 minutes.*
#
# A heat map tempts: "these shoes came first because of that search". But the weight $a_i$ says how much of behaviour $i$ is
# taken, not what it does. What it does has a plain meaning: **rank again without it**.
#
# $$ \mathrm{effect}_i = f(u_1, …, u_n) - f(u_1, …, u_{i-1}, u_{i+1}, …, u_n) $$
#
# First one attention alone, where this has a formula; then the whole model; then a shop whose truth is known.

# %%
from dataclasses import replace

import numpy as np
from _common import figure, scoreboard

from atrank_np import fit, read_log
from atrank_np.command import default_data
from atrank_np.datasets.packing import pack
from atrank_np.datasets.sampling import Events, split
from atrank_np.datasets.shop import ceiling, load_world
from atrank_np.explain import left_out, look_inside
from atrank_np.layers.attention import softmax_backward, softmax_forward

rng = np.random.default_rng(26)


# %% [markdown]
# ## One attention: the slow version, and a formula
#
# $a = \mathrm{softmax}(x)$, $c = \sum_j a_j v_j$; the score moves by $dc \cdot c$. Without $i$ all others keep their proportions
# and sum to 1 again, so they are divided by $1 - a_i$:
#
# $$ c^{(-i)} = \frac{c - a_i v_i}{1 - a_i} \qquad c - c^{(-i)} = \frac{a_i}{1 - a_i}\,(v_i - c) \qquad
#    \mathrm{effect}_i = \frac{a_i}{1 - a_i}\, dc \cdot (v_i - c) $$
#
# **Weight times difference**: who says what all say adds nothing, however much he is looked at; and a weight has no sign.
# %%
def effect_slow(x, v, dc):  # [n], [n,d], [d] -> [n]
    def f(kept):
        e = [np.exp(x[j]) for j in kept]
        return sum(e_j / sum(e) * (dc @ v[j]) for e_j, j in zip(e, kept))

    everyone = range(len(x))
    return np.array([f(everyone) - f([j for j in everyone if j != i]) for i in everyone])


def effect(a, v, dc):
    return a / (1 - a) * ((v - a @ v) @ dc)


x, v, dc = rng.standard_normal(6), rng.standard_normal((6, 4)), rng.standard_normal(4)
a, _ = softmax_forward(x)
assert np.allclose(effect_slow(x, v, dc), effect(a, v, dc))

# %% [markdown]
# ## With a pencil
#
# Weights ½, ¼, ¼ on values 2, 6, −2 ($dc = 1$): $c = 1 + 1.5 - 0.5 = 2$. The heaviest has value 2 as well: its effect is 0.
# The others have $⅓ · (6 - 2) = 4/3$ and $⅓ · (-2 - 2) = -4/3$: equal weights, opposite effects.
# %%
heavy = effect(np.array([0.5, 0.25, 0.25]), np.array([[2.0], [6.0], [-2.0]]), np.ones(1))
assert np.allclose(heavy, [0, 4 / 3, -4 / 3])

# %% [markdown]
# ## The gradient knows it already
#
# Give each behaviour a presence $p_i = 1$: $a_i = p_i e^{x_i} / \sum_j p_j e^{x_j}$, as if its score were $x_i + \ln p_i$. So at
# $p = 1$ the derivative by $p_i$ is that by $x_i$, and lesson 07 has it: $dx_i = a_i (dc \cdot v_i - dc \cdot c)$. Hence
#
# $$ \mathrm{effect}_i = \frac{dx_i}{1 - a_i} $$
#
# Leaving out is the whole way from $p_i = 1$ to 0; the gradient is its first step, and right but for a factor. In
# `attend_backward` it is the line `dscores = softmax_backward(da, a)`. As $\sum_i dx_i = 0$, what some add, others take away.
# %%
present = lambda p: dc @ ((p * np.exp(x)) @ v) / (p * np.exp(x)).sum()
dx = softmax_backward(v @ dc, a)
assert scoreboard(("presence", dx, np.ones(6), present))
assert np.allclose(dx / (1 - a), effect(a, v, dc)) and abs(dx.sum()) < 1e-12

# %% [markdown]
# ## The whole model
#
# Two attentions lie on each other: a behaviour acts through all that look at it, and no formula is left. So score $n + 1$ times:
# `left_out`, which `python -m atrank_np.explain` puts beside the weights of Figure 4, and into its page `explore.html`. The slow
# version packs each history anew. We train on the shop twice, with and without a residual connection (lesson 25).
# %%
log, world = read_log(default_data()), load_world(default_data())
parts, items = split(log), log.catalogues["items"].objects
models = {name: fit(log, variant=name, epochs=8, evaluations=1) for name in ("", "residual")}


def left_out_slow(trained, look, rows, sample):
    def score(kept):
        history = Events(*(getattr(log, name)[kept] for name in Events._fields))
        shorter = sample._replace(start=np.array([0]), end=np.array([len(kept)]))
        batch = pack(log.schema, history, shorter, sample.object[:, None])
        return trained.model().forward(trained.params, batch, trained.table_scale)[0][0]

    return look.score - np.array([score(np.delete(rows, i)) for i in range(len(rows))])


# %% [markdown]
# ## The truth
#
# Descent on (8) with negatives drawn evenly has one best answer: positives come with chance $p(o \mid history)$, negatives with a
# constant $q$ (nearly: never what the user takes), so $\sigma(f) = p / (p + q)$ and $f = \log p(o \mid history) - \log q$. The
# constant cancels in an effect, and the shop knows $p$ (lesson 24). So there is a **true effect, in the logit's own unit**:
# $\log p(o \mid history) - \log p(o \mid history\ without\ i)$. Model and weights can both be held against it.
# %%
def true_effect(rows, at, target):  # rows [n] of the log -> [n]
    histories = [rows, *(np.delete(rows, i) for i in range(len(rows)))]
    flat, n = np.concatenate(histories), [len(history) for history in histories]
    columns = {name: getattr(log, name)[flat] for name in Events._fields}
    users = replace(log, users=np.arange(len(n)).astype(str), offsets=np.append(0, np.cumsum(n)), **columns)
    p = ceiling(world, users, np.arange(len(n)), np.full(len(n), at), 0, np.array([target]))[:, 0]
    return np.log(p[0]) - np.log(p[1:])


def study(trained):
    found = []
    for place in np.random.default_rng(0).permutation(len(parts.test.user))[:150]:
        sample = parts.test.take([place])
        user, at, target = (int(column[0]) for column in (sample.user, sample.time, sample.object))
        look = look_inside(trained, log, log.users[user], items[target], at)
        rows = log.offsets[user] + np.arange(len(look.behaviours))
        if len(rows) > 2:
            effects = left_out(trained, look.batch)[:, 0]
            if not found:
                assert np.allclose(effects, left_out_slow(trained, look, rows, sample), atol=1e-4)
            truth, own = true_effect(rows, at, target), look.self_attention.mean((0, 1))
            found.append((truth, effects, look.vanilla_attention.mean(0), own, np.arange(len(rows)), look))
    return found


NAMES = "its effect on the model", "vanilla attention", "self-attention, all readers", "being the last"
studies = {name or "as printed": study(run.trained) for name, run in models.items()}
chance, joined, hits = {}, {}, {}
for name, found in studies.items():
    joined[name] = [np.concatenate(column) for column in list(zip(*found))[:4]]
    chance[name] = np.mean([1 / len(row[0]) for row in found])
    hits[name] = [np.mean([np.abs(row[0]).argmax() == np.abs(row[i]).argmax() for row in found]) for i in (1, 2, 3, 4)]
    truth, effects, *_ = joined[name]
    agree, slope = np.corrcoef(truth, effects)[0, 1], np.polyfit(truth, effects, 1)[0]
    print(f"ATRank {name}, {len(found)} histories: effects against the truth: correlation {agree:.2f}, slope {slope:.2f}")
    print(f"  the behaviour that truly matters most is found by chance in {chance[name]:.0%}, and by")
    print("".join(f"    {word:28} {hit:.0%}\n" for word, hit in zip(NAMES, hits[name])), end="")
    assert agree > 0.5 and hits[name][0] > 0.4
assert hits["as printed"][1] < 0.35 < hits["residual"][1] and hits["residual"][2] < 0.45 < hits["as printed"][2]

# %% [markdown]
# Both models know what matters, in nearly the right amount. But **where their attention shows it is an accident of the
# architecture**: as printed, the self-attention of all readers points to it and the vanilla attention sleeps; with the residual
# connection it is the other way round. Who explains by Figure 4 alone would call one of them blind. Nor is a good guess an
# explanation: in this shop "the last behaviour" guesses best of all.
# %%
with figure("26_leave_one_out", columns=3, size=(15, 4.4)) as (fig, axes):
    truth, effects, vanilla, _ = joined["as printed"]
    axes[0].scatter(truth, effects, s=8, alpha=0.5)
    axes[0].axline((0, 0), slope=1, color="0.6", linewidth=1)
    axes[0].set(title="the model's effect", xlabel="true effect (logit)", ylabel="effect by leaving out")
    axes[1].scatter(np.abs(truth), vanilla, s=8, alpha=0.5, color="C1")
    axes[1].set(title="its vanilla attention", xlabel="size of the true effect", ylabel="weight, mean of the spaces")
    *one, look = max((found for found in studies["as printed"] if len(found[0]) < 13), key=lambda row: np.ptp(row[0]))
    for k, (bars, word) in enumerate(zip(one, ("true effect", "the model's", "vanilla attention"))):
        axes[2].barh(np.arange(len(bars)) + 0.28 * (k - 1), bars, height=0.26, color=("0.6", "C0", "C1")[k], label=word)
    axes[2].set(title=f"one history, ranking {look.target}", yticks=range(len(one[0])), yticklabels=look.behaviours)
    axes[2].invert_yaxis()
    axes[2].legend()

# %% [markdown]
# ## What people get wrong
# %%
whole, effects = look.score, left_out(models[""].trained, look.batch)[:, 0]
rows = np.append(np.arange(len(effects)), int(np.abs(effects).argmax()))
twice = look.batch._replace(offsets=np.array([0, len(rows)]), **{
    name: getattr(look.batch, name)[rows] for name in ("group", "object", "bucket", "action", "elapsed")})  # fmt: skip
copies = left_out(models[""].trained, twice)[[rows[-1], -1], 0]
print(f"1. effects are no shares: they sum to {effects.sum():.2f} of a logit of {whole:.2f}")
print(f"2. who has a double is not missed: {effects[rows[-1]]:.2f} alone; {copies[0]:.2f} and {copies[1]:.2f} with a copy")
print("3. an effect is what the model does, true or not; only a known world says whether it is right to do so")
# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 26`: effects from weights and values, without a loop.
# %%
print("lesson 26 done: a weight is no effect; leave it out and rank again, or read the gradient of the score")
