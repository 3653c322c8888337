# %% [markdown]
# # Lesson 26. Leave one out: is attention an explanation?
#
# *Before it: lessons 07 (softmax), 09 and 12 (the two attentions), 13 (the loss), 25 (reading attention). About 45 minutes. It
# trains four small models: some 20 seconds.*
#
# A heat map tempts us to say "these shoes were ranked first because of that search". But the weight $a_i$ says how much of
# behaviour $i$ is **taken**. It does not say what that **does**. What a behaviour does has a plain meaning: rank again
# without it.
#
# ## The idea with three behaviours
#
# One attention has the weights ½, ⅓, ⅙ on the values 2, 6, −6. The score is their mean: $1 + 2 - 1 = 2$.
#
# Leave out the first, the one with the largest weight. The others share its ½: their weights become ⅔ and ⅓. The score is
# $⅔ · 6 - ⅓ · 6 = 2$. **Nothing has changed.** The first behaviour says 2, which is what all say together. Leave out the
# second: weights ¾ and ¼, the score is $1.5 - 1.5 = 0$, so it added 2. Leave out the third: ⅗ and ⅖, $1.2 + 2.4 = 3.6$, so it
# took away 1.6.
#
# | | weight | effect |
# |---|---|---|
# | first | ½ | 0 |
# | second | ⅓ | 2 |
# | third | ⅙ | −1.6 |
#
# The order of the weights is not the order of the effects, and a weight has no sign.
#
# ## The equation
#
# $f(u_1, …, u_n)$ is the logit of a target for a history of $n$ behaviours. The effect of behaviour $i$ is
#
# $$ \mathrm{effect}_i = f(u_1, …, u_n) - f(u_1, …, u_{i-1}, u_{i+1}, …, u_n) $$
#
# First we take one attention alone, where this has a formula. Then the whole model. Then a shop whose true effects are known.
#
# ## What the signs mean
#
# * $dc$ says how the logit moves with $c$. In one attention the logit is $dc \cdot c$, with random numbers $dc$, so that $dc$
#   is its derivative by $c$. In general $dZ$ is the derivative of the logit by $Z$ and has the shape of $Z$.
# * In code, `scoreboard` takes rows of four: a name, our gradient, its array, and the rest of the computation as a function
#   of this array. It moves each entry by a little and says whether our gradient agrees.

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
# $a = \mathrm{softmax}(x)$ and $c = \sum_j a_j v_j$. Without $i$ the other weights keep their proportions and must sum to 1
# again. They summed to $1 - a_i$, so each is divided by that:
#
# $$ c^{(-i)} = \frac{c - a_i v_i}{1 - a_i} \qquad
#    c - c^{(-i)} = \frac{c - a_i c - c + a_i v_i}{1 - a_i} = \frac{a_i}{1 - a_i}\,(v_i - c) $$
#
# $$ \mathrm{effect}_i = \frac{a_i}{1 - a_i}\; dc \cdot (v_i - c) $$
#
# **Weight times difference.** A behaviour that says what all say together adds nothing, whatever its weight.
# %%


def logit_slow(kept, x, v, dc):
    """The logit of one attention over the behaviours `kept`."""
    total = sum(np.exp(x[j]) for j in kept)
    logit = 0.0
    for j in kept:
        logit += np.exp(x[j]) / total * (dc @ v[j])
    return logit


def effects_slow(x, v, dc):  # [n], [n,d], [d] -> [n]
    n = len(x)
    whole = logit_slow(range(n), x, v, dc)
    found = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        found.append(whole - logit_slow(others, x, v, dc))
    return np.array(found)


def effects_of(a, v, dc):
    c = a @ v
    return a / (1 - a) * ((v - c) @ dc)


x, v, dc = rng.standard_normal(6), rng.standard_normal((6, 4)), rng.standard_normal(4)
a, _ = softmax_forward(x)
assert np.allclose(effects_slow(x, v, dc), effects_of(a, v, dc))
three = effects_of(np.array([1 / 2, 1 / 3, 1 / 6]), np.array([[2.0], [6.0], [-6.0]]), np.ones(1))
print("the three behaviours:", three.round(3))
assert np.allclose(three, [0, 2, -1.6])

# %% [markdown]
# ## The gradient has it already
#
# Give each behaviour a presence $p_i$: 1 if it is there, 0 if it is left out, and anything between:
#
# $$ a_i = \frac{p_i\, e^{x_i}}{\sum_j p_j\, e^{x_j}} = \frac{e^{x_i + \ln p_i}}{\sum_j e^{x_j + \ln p_j}} $$
#
# So $p_i$ acts like an addition of $\ln p_i$ to the score. The derivative of $\ln p_i$ at $p_i = 1$ is 1. Hence, at $p = 1$,
# the derivative by $p_i$ is that by $x_i$, and lesson 07 has it:
#
# $$ \frac{\partial f}{\partial p_i} = dx_i = a_i\,(dc \cdot v_i - dc \cdot c) \qquad\text{so}\qquad
#    \mathrm{effect}_i = \frac{dx_i}{1 - a_i} $$
#
# Leaving out goes the whole way from $p_i = 1$ to 0; the gradient is its first step. In one attention they differ by a factor
# only. And as $\sum_i dx_i = 0$, also $\sum_i (1 - a_i)\,\mathrm{effect}_i = 0$: some add, and others must take away.
# %%
dx = softmax_backward(v @ dc, a)


def logit_of_presence(p):
    weights = p * np.exp(x)
    return dc @ (weights @ v) / weights.sum()


def logit_of_scores(x):
    return dc @ (softmax_forward(x)[0] @ v)


assert scoreboard(("scores", dx, x, logit_of_scores), ("presence", dx, np.ones(6), logit_of_presence))
assert np.allclose(dx / (1 - a), effects_of(a, v, dc)) and abs(dx.sum()) < 1e-12

# %% [markdown]
# ## The whole model: no formula any more
#
# The model has two attentions, one above the other. A behaviour acts through every row that looks at it. The gradient is
# still the first step, but it no longer says how long the way is. So we score $n + 1$ times: `left_out`.
# `python -m atrank_np.explain` prints these effects beside the weights of the paper's Figure 4. The slow version packs each
# shorter history anew.
#
# We train on the shop that comes with the package, two seeds each: as (6) is printed, and with the default's residual
# connection (lessons 11 and 25).
# %%
log = read_log(default_data())
world = load_world(default_data(), log)
parts, items = Protocol(log), log.catalogues["items"].objects
VARIANTS, SEEDS = {"as printed": "printed", "with residual": ""}, (0, 1)
SETTINGS = dict(width=32, spaces=4, dense_init=0.176, epochs=8, evaluations=1)
models = {}
for name, variant in VARIANTS.items():
    for seed in SEEDS:
        models[name, seed] = fit(log, variant=variant, seed=seed, **SETTINGS).trained


def left_out_slow(trained, look, rows, sample):
    def score(kept):
        history = Events(*(getattr(log, name)[kept] for name in Events._fields))
        shorter = sample._replace(start=np.array([0]), end=np.array([len(kept)]))
        batch = pack(log.schema, history, shorter, sample.object[:, None])
        return trained.model().forward(trained.params, batch, trained.table_scale)[0][0]

    found = []
    for i in range(len(rows)):
        found.append(look.score - score(np.delete(rows, i)))
    return np.array(found)


# %% [markdown]
# ## The true effects
#
# What should the logit be? Negatives are drawn evenly, with a chance $q$ each; the next object comes with the chance
# $p(o \mid history)$. So the loss (8) asks for the least of $-p \log \sigma(f) - q \log(1 - \sigma(f))$. Its derivative by
# $f$ is $\sigma(f)(p + q) - p$, which is 0 at $\sigma(f) = p/(p + q)$. That is **$f = \log p - \log q$**.
#
# The constant $\log q$ falls out of a difference. The shop knows $p$ (lesson 24), so there is a true effect, in the logit's
# own unit:
#
# $$ \log p(o \mid history) - \log p(o \mid history\ without\ i) $$
#
# (Nearly. Negatives are never what the user takes, and positives are no repeats. And some of the shortened histories
# could not happen in this shop, so there its formula extrapolates.)
# %%


def true_effects(rows, at, target):  # rows [n] of the log -> [n]
    histories = [rows]
    for i in range(len(rows)):
        histories.append(np.delete(rows, i))
    flat = np.concatenate(histories)
    length = [len(history) for history in histories]
    columns = {name: getattr(log, name)[flat] for name in Events._fields}
    users = replace(log, users=np.arange(len(length)).astype(str), offsets=np.append(0, np.cumsum(length)), **columns)
    p = ceiling(world, users, np.arange(len(length)), np.full(len(length), at), 0, np.array([target]))[:, 0]
    return np.log(p[0]) - np.log(p[1:])


PLACES = np.random.default_rng(0).permutation(len(parts.test.user))[:90]


def study(trained):
    """For each ranking: the true effects, the model's, and three other things that may point at a behaviour; and the look."""
    found = []
    for place in PLACES:
        sample = parts.test.take([place])
        user, at, target = int(sample.user[0]), int(sample.time[0]), int(sample.object[0])
        look = look_inside(trained, log, log.users[user], items[target], at)
        rows = log.offsets[user] + np.arange(len(look.behaviours))
        if len(rows) <= 2:
            continue
        effects = left_out(trained, look.batch)[:, 0]
        if not found:
            assert np.allclose(effects, left_out_slow(trained, look, rows, sample), atol=1e-4)
        vanilla, own = look.vanilla_attention.mean(0), look.self_attention.mean((0, 1))
        found.append((true_effects(rows, at, target), effects, vanilla, own, np.arange(len(rows)), look))
    return found


studies = {key: study(trained) for key, trained in models.items()}

# %% [markdown]
# We ask two questions. **Are the model's effects the true ones?** We compare them for the last behaviour and for all older
# ones. **Who points at the behaviour with the largest effect?** The largest vanilla weight, the largest self-attention weight
# (mean of all readers), or simply the last behaviour.
# %%
POINTERS = "vanilla attention", "self-attention", "the last one"


def agreement(found, i, j):
    """In how many rankings the largest of column i and of column j is the same behaviour."""
    return np.mean([np.abs(row[i]).argmax() == np.abs(row[j]).argmax() for row in found])


points, correlation, share_of_last = {}, {}, {}
for key, found in studies.items():
    truth, own = (np.concatenate([row[column] for row in found]) for column in (0, 1))
    is_last = np.concatenate([np.arange(len(row[0])) == len(row[0]) - 1 for row in found])
    in_last = (truth[is_last] ** 2).sum() / (truth**2).sum()
    share_of_last[key] = in_last
    correlation[key] = [np.corrcoef(truth[some], own[some])[0, 1] for some in (is_last, ~is_last)]
    points[key] = [agreement(found, 1, column) for column in (2, 3, 4)]
    chance = np.mean([1 / len(row[0]) for row in found])
    print(f"{key[0]}, seed {key[1]}: {len(found)} histories; the last behaviour has {in_last:.0%} of the truth's squares")
    print("  correlation of model and truth: last {:.2f}, older {:.2f}".format(*correlation[key]))
    print(f"  points at the model's largest effect (by chance {chance:.0%}):", end="")
    print("".join(f"  {name} {share:.0%}" for name, share in zip(POINTERS, points[key])))

# %% [markdown]
# ## What holds for every variant and seed
#
# * Nearly all of the truth is in the last behaviour. Its effect the models have learned: a correlation above 0.5.
# * What they make of **older** behaviours has nothing to do with the truth: a correlation below 0.25. So an effect tells what
#   the **model** does, right or wrong. To explain the model is not to explain the user.
# * **Which layer points depends on the architecture.** As printed, the self-attention points at the largest effect in 40 % of
#   the histories and more, and the vanilla attention, which the paper's Figure 4 shows, hardly above chance. With the
#   residual it is the other way round: the vanilla attention in 55 % and more, and more often than the self-attention.
#
# So one must know which layer works before a weight is read (lesson 25 measures it); and even then a weight has neither sign
# nor unit.
# %%
for (variant, seed), (vanilla, own, _) in points.items():
    of_last, of_older = correlation[variant, seed]
    assert of_last > 0.5 and abs(of_older) < 0.25 and share_of_last[variant, seed] > 0.9
    if variant == "as printed":
        assert vanilla < 0.35 and own > 0.4 and own > vanilla + 0.15
    else:
        assert vanilla > 0.55 and vanilla > own + 0.15

# %% [markdown]
# ## The picture
#
# Left: each behaviour's true effect and the model's, seed 0; on the grey line they would be equal. Middle: the size of the
# model's effect, and how many times an even share its vanilla weight is. As printed (blue) large effects have weights near 1.
# Right: one history by the printed model, its newest behaviour at the bottom, with $n$ times the weight in brackets.
# %%
with figure("26_leave_one_out", columns=3, size=(15.5, 4.4)) as (fig, axes):
    for colour, name in zip(("C0", "C1"), VARIANTS):
        found = studies[name, 0]
        truth, own = (np.concatenate([row[column] for row in found]) for column in (0, 1))
        times_even = np.concatenate([len(row[2]) * row[2] for row in found])
        axes[0].scatter(truth, own, s=8, alpha=0.5, color=colour, label=name)
        axes[1].scatter(np.abs(own), times_even, s=8, alpha=0.5, color=colour, label=name)
    axes[0].axline((0, 0), slope=1, color="0.6", linewidth=1)
    axes[0].set(title="effects of behaviours", xlabel="true effect", ylabel="the model's effect")
    axes[0].legend()
    axes[1].set(title="does the vanilla weight say so?", xlabel="size of the model's effect", ylabel="n times the vanilla weight")
    axes[1].legend()
    short = [row for row in studies["as printed", 0] if len(row[0]) < 13]
    truth, effects, weights, *_, look = max(short, key=lambda row: np.ptp(row[0]))
    for k, (bars, word) in enumerate(((truth, "true effect"), (effects, "the model's"))):
        axes[2].barh(np.arange(len(bars)) + 0.36 * k - 0.18, bars, height=0.34, color=("0.6", "C0")[k], label=word)
    words = [f"{word} ({len(truth) * weight:.2f})" for word, weight in zip(look.behaviours, weights)]
    axes[2].set(title=f"one history, ranking {look.target}, as printed", yticks=range(len(words)), yticklabels=words)
    axes[2].set(xlabel="effect on the logit")
    axes[2].invert_yaxis()
    axes[2].legend(fontsize=8)

# %% [markdown]
# ## What people get wrong
#
# 1. **Effects are no shares.** They do not sum to the logit, nor to 1.
# 2. **A behaviour with a double has no effect of its own.** Leave one of two copies out, and the other does its work. So "no
#    effect" does not mean "no use". The history of the picture, its strongest behaviour written down twice:
# 3. **An explanation of the model taken for one of the user.** See the older behaviours above.
# %%
strongest = int(np.abs(effects).argmax())
twice = look.batch.with_behaviours(np.append(np.arange(len(effects)), strongest))
of_copies = left_out(models["as printed", 0], twice)[[strongest, -1], 0]
print(f"1. the effects sum to {effects.sum():.2f}, the logit is {look.score:.2f}")
print(f"2. the strongest alone: {effects[strongest]:.2f}; with a copy: {of_copies[0]:.2f} and {of_copies[1]:.2f}")
assert abs(effects.sum() - look.score) > 0.1 and np.abs(of_copies).max() < abs(effects[strongest])

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 26` (from the repository's root): effects from weights and values, without a loop; and
# what two behaviours do **together**.
# %%
print("lesson 26 done: a weight is no effect; leave the behaviour out and rank again")
