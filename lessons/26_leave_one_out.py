# %% [markdown]
# # Lesson 26. Leave one out: is attention an explanation?
#
# *Before it: lessons 07 (softmax), 09 and 12 (the two attentions), 13 (the loss), 25 (reading attention). About 35 minutes.*
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

from atrank_np import read_log
from atrank_np.datasets.folder import default_data
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.samples import Events
from atrank_np.datasets.shop_ceiling import ceiling, load_world
from atrank_np.evaluation.attention import left_out, look_inside
from atrank_np.layers.attention import softmax_backward, softmax_forward
from atrank_np.training import fit

rng = np.random.default_rng(26)


# %% [markdown]
# ## One attention: the slow version, and a formula
#
# $a = \mathrm{softmax}(x)$, $c = \sum_j a_j v_j$, and let the logit be $dc \cdot c$. Without $i$ all others keep their
# proportions and sum to 1 again, so they are divided by $1 - a_i$:
#
# $$ c^{(-i)} = \frac{c - a_i v_i}{1 - a_i} \qquad c - c^{(-i)} = \frac{a_i}{1 - a_i}\,(v_i - c) \qquad
#    \mathrm{effect}_i = \frac{a_i}{1 - a_i}\, dc \cdot (v_i - c) $$
#
# **Weight times difference**: a behaviour that says what all say adds nothing, whatever its weight; and a weight has no sign.
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
# Weights ½, ⅓, ⅙ on values 2, 6, −6 ($dc = 1$): $c = 1 + 2 - 1 = 2$. The heaviest has value 2 as well: its effect is 0. The
# others have $\frac{1/3}{2/3} (6 - 2) = 2$ and $\frac{1/6}{5/6} (-6 - 2) = -1.6$. Weights would have put the first one first.
# %%
assert np.allclose(effect(np.array([1 / 2, 1 / 3, 1 / 6]), np.array([[2.0], [6.0], [-6.0]]), np.ones(1)), [0, 2, -1.6])

# %% [markdown]
# ## The gradient knows it already
#
# Give each behaviour a presence $p_i = 1$: $a_i = p_i e^{x_i} / \sum_j p_j e^{x_j}$, as if its score were $x_i + \ln p_i$. So at
# $p = 1$ the derivative by $p_i$ is that by $x_i$, and lesson 07 has it: $dx_i = a_i (dc \cdot v_i - dc \cdot c)$. Hence
#
# $$ \mathrm{effect}_i = \frac{dx_i}{1 - a_i} $$
#
# Leaving out is the whole way from $p_i = 1$ to 0; the gradient is its first step, and right but for a factor. In
# `attend_backward` it is the line `dscores = softmax_backward(da, a)`. As $\sum_i dx_i = 0$, so is $\sum_i (1 - a_i)\,
# \mathrm{effect}_i$: within one attention nobody can add without somebody who takes away.
# %%
present = lambda p: dc @ ((p * np.exp(x)) @ v) / (p * np.exp(x)).sum()
dx = softmax_backward(v @ dc, a)
assert scoreboard(("presence", dx, np.ones(6), present))
assert np.allclose(dx / (1 - a), effect(a, v, dc)) and abs(dx.sum()) < 1e-12

# %% [markdown]
# ## The whole model
#
# Two attentions lie on each other: a behaviour acts through all that look at it. The gradient by its presence in both is still
# the first step, but says no more how long the way is. So score $n + 1$ times: `left_out`, which `python -m atrank_np.explain`
# puts beside the weights of Figure 4 and into its page `explore.html`. The slow version packs each history anew. We train on
# the shop twice, as (6) is printed and with the default's residual connection (lessons 11 and 25).
# %%
world = load_world(default_data(), log := read_log(default_data()))
parts, items = Protocol(log), log.catalogues["items"].objects
models = {"as printed": "printed", "with residual": ""}
models = {name: fit(log, variant=variant, epochs=8, evaluations=1).trained for name, variant in models.items()}


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
# Negatives are drawn evenly, with a chance $q$; positives come with $p(o \mid history)$. So (8) asks for the least of
# $-p \log \sigma(f) - q \log(1 - \sigma(f))$, whose derivative by $f$ is $\sigma(f) (p + q) - p$: **the best logit is $\log p -
# \log q$**. The constant cancels in an effect, and the shop knows $p$ (lesson 24). So there is a **true effect, in the logit's
# unit**: $\log p(o \mid history) - \log p(o \mid history\ without\ i)$. (Nearly: negatives are never what the user takes, nor are
# positives repeats; and a fifth of the shortened histories could not happen in this shop, so its law extrapolates there.)
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
            weights = look.vanilla_attention.mean(0), look.self_attention.mean((0, 1)), np.arange(len(rows))
            found.append((true_effect(rows, at, target), effects, *weights, look))
    return found


NAMES = "leaving out", "vanilla attention", "self-attention, all readers", "'it was the last'"
studies, hits = {name: study(trained) for name, trained in models.items()}, {}
same_first = lambda found, i, j: np.mean([np.abs(row[i]).argmax() == np.abs(row[j]).argmax() for row in found])
for name, found in studies.items():
    last, older = (np.concatenate([np.array(row[:2])[:, part] for row in found], 1) for part in (slice(-1, None), slice(-1)))
    clear = [row for row in found if np.abs(row[0]).max() > 0.2]
    hits[name] = [same_first(clear, 0, i) for i in (1, 2, 3, 4)], [same_first(found, 1, i) for i in (1, 2, 3, 4)]
    print(f"ATRank {name}: {len(found)} histories; in {len(clear)} something truly matters (an effect beyond 0.2)")
    whole = sum((row[0] ** 2).sum() for row in found)
    for words, (truth, own) in ("the last behaviour", last), ("all older ones", older):
        print(
            f"  {words:18} {(truth**2).sum() / whole:4.0%} of the truth's squares; the model's effects beside the true ones: "
            f"correlation {np.corrcoef(truth, own)[0, 1]:.2f}, spread {own.std() / truth.std():.1f} times theirs"
        )
    chance = np.mean([1 / len(row[0]) for row in found])
    print(f"  {'the first by':28} is truly the first, is the first for the model (by chance {chance:.0%})")
    print("".join(f"  {word:28} {a:16.0%} {b:22.0%}\n" for word, a, b in zip(NAMES, *hits[name])), end="")
    assert np.corrcoef(last)[0, 1] > 0.6 > 0.4 > np.corrcoef(older)[0, 1]
asleep, awake = [hits["as printed"][1][1], hits["with residual"][1][2]], [hits["as printed"][1][2], hits["with residual"][1][1]]
assert max(asleep) < 0.4 < min(awake)

# %% [markdown]
# What the last behaviour does, both models know, in nearly the right amount; nearly all of the truth is there. What they make of
# older ones is their own invention, and leaving out shows that, too: **an effect is what the model does**, right or wrong.
#
# Attention may point at the same behaviour as well as the effect does. But **which layer points is an accident of the
# architecture**: as printed, the self-attention does and the vanilla attention of Figure 4 sleeps; with the residual connection
# it is the other way round. One must know which is awake; and even then a weight has neither sign nor unit.
# %%
with figure("26_leave_one_out", columns=3, size=(15, 4.4)) as (fig, axes):
    for color, (name, found) in zip(("C0", "C1"), studies.items()):
        truth, effects = (np.concatenate([row[i] for row in found]) for i in (0, 1))
        axes[0].scatter(truth, effects, s=8, alpha=0.5, color=color, label=name)
        share = np.concatenate([len(row[2]) * row[2] for row in found])
        axes[1].scatter(np.abs(effects), share, s=8, alpha=0.5, color=color)
    axes[0].axline((0, 0), slope=1, color="0.6", linewidth=1)
    axes[0].set(title="effects", xlabel="true effect", ylabel="the model's")
    axes[0].legend()
    axes[1].set(title="does vanilla attention say so?", xlabel="size of the model's effect", ylabel="n times the weight")
    truth, effects, weights, *_, look = max((r for r in studies["as printed"] if len(r[0]) < 13), key=lambda r: np.ptp(r[0]))
    for k, (bars, word) in enumerate(((truth, "true effect"), (effects, "the model's"))):
        axes[2].barh(np.arange(len(bars)) + 0.36 * k - 0.18, bars, height=0.34, color=("0.6", "C0")[k], label=word)
    words = [f"{word} (n a = {len(truth) * a:.2f})" for word, a in zip(look.behaviours, weights)]
    axes[2].set(title=f"one history, ranking {look.target}, as printed", yticks=range(len(words)), yticklabels=words)
    axes[2].invert_yaxis()
    axes[2].legend()

# %% [markdown]
# ## What people get wrong
# %%
most, trained = int(np.abs(effects).argmax()), models["as printed"]
rows = np.append(np.arange(len(effects)), most)
copies = left_out(trained, look.batch.with_behaviours(rows))[[most, -1], 0]
print(f"1. effects are no shares: here they sum to {effects.sum():.2f}, and the logit is {look.score:.2f}")
print(f"2. who has a double is not missed: {effects[most]:.2f} alone; {copies[0]:.2f} and {copies[1]:.2f} with a copy")
print("3. to explain the model is not to explain the user: older behaviours move it farther than they should, and elsewhere")
# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 26`: effects from weights and values, without a loop.
# %%
print("lesson 26 done: a weight is no effect; leave the behaviour out and rank again")
