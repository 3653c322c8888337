# %% [markdown]
# # Lesson 24. one2one, all2one, all2all: what each task trains, tests, and may claim
#
# *Before it: lessons 01 (the protocol), 13 (the loss), 16 (what an AUC means), 23 (groups). About 35 minutes.*
#
# With groups items, queries and coupons there are many tasks. The paper runs seven models (its Table 5):
#
# | task | a history holds | ranked | models |
# |---|---|---|---|
# | one2one | the target's group | one group | 3 |
# | all2one | all groups | one group | 3 |
# | all2all | all groups | every group | 1 |
#
# Its claims: all2one beats one2one; all2all is *comparable*. What is a claim like this worth? We need the protocol, the loss over
# mixed targets, and the standard error of a **difference**.

# %%
import math

import numpy as np
from _common import figure, scoreboard

from atrank_np import read_log
from atrank_np.backend import NumpyBackend
from atrank_np.config import Config
from atrank_np.datasets.folder import default_data
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.shop_ceiling import ceiling, load_world
from atrank_np.evaluation.scoring import score
from atrank_np.gradcheck import dense, relative_error
from atrank_np.layers.ranking import pointwise_backward, pointwise_forward
from atrank_np.metrics import auc
from atrank_np.runs.trained import assemble
from atrank_np.training import fit

ALL = ("items", "queries", "coupons")
world = load_world(default_data(), log := read_log(default_data()))  # the simulated shop that comes with the package
whole_schema = log.schema


def choose(history, targets):  # what `--history` and `--target` do
    log.schema = whole_schema.choose(history=history, targets=targets)
    parts = Protocol(log, Config(width=16, spaces=2, eval_negatives=4))
    return parts, parts.task


# %% [markdown]
# ## The protocol, slowly
#
# $n$ and $k$ count the **target group's** events; the history is every event of the **history groups** before. A positive that
# the history already holds is no target.
# %%
def moments_slow(history, target):
    """[(user, behaviours in the history, object, is it the test)] of one target group."""
    found, group_name = [], [g.name for g in log.schema.groups]
    for user, (start, end) in enumerate(zip(log.offsets[:-1], log.offsets[1:])):
        events = [(group_name[log.group[e]], log.object[e]) for e in range(start, end)]
        ranked = [e for e, (g, _) in enumerate(events) if g == target]
        for k in range(1, len(ranked)):
            before = [event for event in events[: ranked[k]] if event[0] in history]
            if events[ranked[k]] not in before:
                found.append((user, len(before), events[ranked[k]][1], k == len(ranked) - 1))
    return found


for history in (("coupons",), ALL):
    parts, _ = choose(history, ("coupons",))
    package = [
        (*row, test)
        for samples, test in ((parts.train, False), (parts.test, True))
        for row in zip(samples.user, samples.end - samples.start, samples.object)
    ]
    package = [(u, length, o, test) for u, length, o, test in package]
    assert sorted(package) == sorted(moments_slow(history, "coupons"))
    mean = np.mean([length for _, length, *_ in package])
    print(f"coupons from {'all' if len(history) > 1 else 'coupons'}: {len(package)} moments, histories of {mean:.1f} behaviours")

# %% [markdown]
# ## The loss over mixed targets
#
# all2all has one loss, the mean over the $T$ targets of a batch, whatever their groups. Let $T_g$ be the targets of group $g$ and
# $L_g$ their mean loss. Then
#
# $$ L = \frac1T \sum_t \ell_t = \sum_g \frac{T_g}{T} L_g \qquad \frac{\partial L}{\partial f_t} = \frac{\sigma(f_t) - y_t}{T}
#    \qquad dL = \sum_g \frac{T_g}{T}\, dL_g $$
#
# **A group counts by its number of targets.** Batches are cut from the shuffled samples of all groups, so they mix in proportion,
# and the expected gradient of a batch is the gradient of the whole. (The mean of the $L_g$ would be another aim: a moment of
# coupons would count as much as 25 of items, its noise too.)
# %%
rng = np.random.default_rng(24)
f, y, of = rng.standard_normal(12), np.tile([1.0, 0], 6), np.repeat([0, 0, 0, 0, 1, 2], 2)
parts_of = [(of == g).sum() / 12 for g in range(3)]
by_group = lambda f: sum(share * pointwise_forward(f[of == g], y[of == g])[0] for g, share in enumerate(parts_of))
df = pointwise_backward(1.0, pointwise_forward(f, y)[1])
assert math.isclose(by_group(f), pointwise_forward(f, y)[0]) and scoreboard(("scores f", df, f, by_group))

parts, task = choose(ALL, ALL)  # and so through the whole model: one mixed batch against one batch for each group
some = np.concatenate([rng.choice(np.flatnonzero(parts.test.group == g), n) for g, n in enumerate((6, 3, 2))])
trained = assemble(parts)
params = {name: w.astype(np.float64) for name, w in trained.params.items()}
backend = NumpyBackend(trained.model(), params, trained.config)
gradients = lambda rows: backend.gradients(pack(log.schema, parts.events, parts.test.take(rows), task.candidates[rows]))
loss, mixed = gradients(some)
total = {name: np.zeros_like(w) for name, w in params.items()}
for g in range(3):
    rows = some[parts.test.group[some] == g]
    for name, own in gradients(rows)[1].items():
        total[name] += len(rows) / len(some) * dense(own, params[name].shape)
worst = max(relative_error(dense(mixed[name], w.shape), total[name]) for name, w in params.items())
print(f"mixed batch of {len(some)} moments: loss {loss:.4f}, its gradient is the weighted sum to {worst:.0e}")
assert worst < 1e-9
order, shares = rng.permutation(len(parts.train.user)), np.bincount(parts.train.group) / len(parts.train.group)
print("groups' shares: all", shares.round(3), " first 20 batches", (np.bincount(parts.train.group[order[:320]]) / 320).round(3))


# %% [markdown]
# ## What a difference is worth
#
# Two models are judged on the **same** users and negatives. User $u$ gives $a_u$ and $b_u$. Some users are easy for both, so $a$
# and $b$ rise and fall together; in the difference $d_u = b_u - a_u$ that falls out:
#
# $$ se(\bar d) = \frac{sd(b_u - a_u)}{\sqrt S} \qquad \text{against} \qquad \sqrt{se(\bar a)^2 + se(\bar b)^2} $$
#
# **With a pencil**: $a = (1, 0, 1, 0)$, $b = (1, ½, 1, ½)$: $d = (0, ½, 0, ½)$, mean ¼, sd $\sqrt{1/12}$, se 0.144, not 0.323.
# %%
def difference(a, b):  # two AUC -> mean, se, se if they were unrelated
    d = b.each - a.each
    return d.mean(), d.std(ddof=1) / math.sqrt(len(d)), math.hypot(a.se, b.se)


worth = lambda d, se, unpaired: f"{d:+.3f} ± {se:.3f} (unpaired ± {unpaired:.3f})"
pencil = [auc(np.array([[won, 0.5] for won in wins])) for wins in ([1, 0, 1, 0], [1, 0.5, 1, 0.5])]  # above, below or a tie
print("pencil:", worth(*difference(*pencil)))
assert np.allclose(difference(*pencil), [0.25, math.sqrt(1 / 48), math.hypot(1 / math.sqrt(12), 1 / math.sqrt(48))])

# %% [markdown]
# ## The planted effect: ceilings for each history
#
# In the simulated shop the chance of the next object is known, to a reader who sees one group or all. First the perfect reader
# of one group, then of all. The second one's gain is what the others are worth; a model further below its ceiling may gain more.
# %%
ceilings = {}
for target in ALL:
    for name, history in (("one", (target,)), ("all", ALL)):
        parts, task = choose(history, (target,))
        s = task.samples
        ceilings[target, name] = auc(ceiling(world, log, s.user, s.time, s.group, task.candidates))
    one, both = ceilings[target, "one"], ceilings[target, "all"]
    print(f"{target:8} one {one.mean:.3f}, all {both.mean:.3f} ({len(s.user)} users): gain {worth(*difference(one, both))}")
    assert difference(one, both)[0] > 0.02

# %% [markdown]
# ## Three models, a few seconds each
# %%
settings = dict(width=64, spaces=4, dense_init=0.125, epochs=3, evaluations=1, eval_negatives=4)
runs = {}
for name, history, targets in (("one2one", ALL[:1], ALL[:1]), ("all2one", ALL, ALL[:1]), ("all2all", ALL, ALL)):
    parts, task = choose(history, targets)
    trained = fit(log, **settings).trained
    items = task.samples.group == log.schema.index("items")
    everything = score(trained.backend(), parts, task)
    runs[name] = auc(everything[items])
    print(f"{name}: AUC of items {runs[name].mean:.3f}; over one2one {worth(*difference(runs['one2one'], runs[name]))}")
assert runs["all2one"].mean > runs["one2one"].mean < runs["all2all"].mean

# %% [markdown]
# Both find a part of the planted 0.049 (four negatives for a positive; with one, in RESULTS.md, 0.055), by many standard errors.
# all2all even takes more steps, for it has more samples. But that error speaks of other **users**; another **seed** is another
# model: with seeds 0 and 1 all2all wins 0.035 and 0.023, further apart than ± 0.004. A table of tasks wants several seeds.
#
# ## The picture
# %%
with figure("24_tasks", columns=2, size=(12.5, 3.9)) as (fig, axes):
    rows = [(f"one2one {g}", [g], [g]) for g in ALL] + [(f"all2one {g}", ALL, [g]) for g in ALL] + [("all2all", ALL, ALL)]
    seen = np.array([[g in history for g in ALL] + [2 * (g in ranked) for g in ALL] for _, history, ranked in rows])
    axes[0].imshow(seen, cmap="Blues", vmax=3, aspect="auto")
    axes[0].axvline(2.5, color="k")
    axes[0].set(title="seven models: what a history holds | what is ranked", xticks=range(6), xticklabels=ALL * 2)
    axes[0].set(yticks=range(7), yticklabels=[name for name, *_ in rows])
    bars = [(f"ceiling of {g}", ceilings[g, "one"], ceilings[g, "all"]) for g in ALL]
    bars += [(f"{name}, items", runs["one2one"], runs[name]) for name in ("all2one", "all2all")]
    for n, (_, a, b) in enumerate(bars):
        d, se, unpaired = difference(a, b)
        axes[1].errorbar(d, n - 0.1, xerr=2 * se, fmt="o", color="C2" if n < 3 else "C0", capsize=3)
        axes[1].errorbar(d, n + 0.15, xerr=2 * unpaired, fmt="none", color="0.7", capsize=3)
    axes[1].axvline(0, color="k", lw=0.8)
    axes[1].set(title="gain over one2one ± 2 s.e.: paired, and (grey) unpaired", yticks=range(5), xlabel="AUC")
    axes[1].set(yticklabels=[name for name, *_ in bars], ylim=(4.6, -0.6))

# %% [markdown]
# ## What people get wrong
# %%
_, paired, unpaired = difference(runs["one2one"], runs["all2one"])
lost = 1 - (paired / unpaired) ** 2
print(f"1. unpaired errors: {unpaired / paired:.1f} times as large, as if {lost:.0%} of the users had been thrown away")
print(f"2. all2all's AUC over all groups, {auc(everything).mean:.3f}, held against a model of items: other users, other objects")
_, se, _ = difference(ceilings["coupons", "one"], ceilings["coupons", "all"])
print(f"3. 'comparable, for the difference is not significant': with the coupons' users a gain below {2 * se:.3f} never is")

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 24`: the protocol with groups, and a paired standard error.
# %%
print("lesson 24 done: targets count alike in one mean, tasks share users and negatives, and a gain has its own standard error")
