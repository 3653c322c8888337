# %% [markdown]
# # Lesson 24. one2one, all2one, all2all: what each task trains, tests, and may claim
#
# *Before it: lessons 01 (the protocol), 13 (the loss), 16 (AUC), 22 (paired differences), 23 (groups). About 45 minutes.*
#
# A shop has items, queries and coupons. Who wants to rank coupons can train on coupons alone, or let the history hold
# everything, or train one model for all. The paper runs all of these, seven models (its Table 5):
#
# | task | a history holds | what is ranked | models |
# |---|---|---|---|
# | one2one | the target's group | one group | 3 |
# | all2one | all groups | one group | 3 |
# | all2all | all groups | every group | 1 |
#
# It claims: all2one beats one2one, and all2all is *comparable*. To judge such a claim we need three things: which moments are
# ranked, what the loss over mixed targets is, and the standard error of a **difference**.
#
# ## The idea with one user
#
# A user's events in time order, i for an item, q for a query, c for a coupon:
#
# | event | 0 | 1 | 2 | 3 | 4 | 5 |
# |---|---|---|---|---|---|---|
# | group | i | c | q | i | c | c |
#
# We rank **coupons**. The moments are events 4 and 5: each coupon but the first, and the last of them is the test. In one2one
# the histories hold 1 and 2 behaviours, in all2one 4 and 5. **The moments are the same.** The same users are tested on the
# same positives and negatives, so the two tasks can be compared user by user. Only what the model may read is another.

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
log = read_log(default_data())  # the simulated shop that comes with the package
world = load_world(default_data(), log)
whole_schema = log.schema


def choose(history, targets):  # what `--history` and `--target` do
    log.schema = whole_schema.choose(history=history, targets=targets)
    parts = Protocol(log, Config(width=16, spaces=2, eval_negatives=4))
    return parts, parts.task


# %% [markdown]
# ## What speaks for each task
#
# **one2one** is the cleanest question: how well do coupons predict coupons? But a user has few of them; in our log a history
# of coupons holds 1.6 behaviours. **all2one** adds what else the user did. It can only help a perfect reader, as more is
# known. A real model may still lose, as it has more to learn. **all2all** trains one model for three purposes. It sees all
# targets, so $F_M$, the tables and both attentions get more gradients, and a shop runs one model in place of three. But they
# must serve all groups at once, and the group with most targets has most of the say. Which effect is larger is a matter of
# measuring.
#
# ## The protocol, slowly
#
# $n$ and $k$ of lesson 01 count the **target group's** events. The history is every event of the **history groups** before.
# As always, a positive that the history already holds is no target (lesson 16).
# %%


def moments_slow(history, target):
    """[(user, behaviours in the history, object, is it the test)] of one target group."""
    names = [group.name for group in log.schema.groups]
    found = []
    for user in range(len(log.users)):
        events = []
        for e in range(log.offsets[user], log.offsets[user + 1]):
            events.append((names[log.group[e]], log.object[e]))
        ranked = [place for place, (group, _) in enumerate(events) if group == target]
        for place in ranked[1:]:
            before = [event for event in events[:place] if event[0] in history]
            if events[place] not in before:
                found.append((user, len(before), events[place][1], place == ranked[-1]))
    return found


moments = {}
for history in (("coupons",), ALL):
    parts, _ = choose(history, ("coupons",))
    package = []
    for samples, test in ((parts.train, False), (parts.test, True)):
        for user, start, end, object in zip(samples.user, samples.start, samples.end, samples.object):
            package.append((user, end - start, object, test))
    assert sorted(package) == sorted(moments_slow(history, "coupons"))
    name = "all groups" if len(history) > 1 else "coupons"
    moments[name] = {(user, object, test) for user, _, object, test in package}
    mean = np.mean([length for _, length, *_ in package])
    print(f"coupons ranked, history of {name}: {len(package)} moments, {mean:.1f} behaviours in a history")
assert moments["coupons"] == moments["all groups"]

# %% [markdown]
# ## The loss over mixed targets
#
# all2all has one loss, the mean over the $T$ targets of a batch, whatever their groups. Let $T_g$ be the number of targets of
# group $g$ and $L_g$ their mean loss. Group the sum by groups:
#
# $$ L = \frac1T \sum_t \ell_t = \sum_g \frac{T_g}{T}\,\frac{1}{T_g} \sum_{t \in g} \ell_t = \sum_g \frac{T_g}{T}\, L_g $$
#
# The derivative of a sum is the sum of the derivatives. So the gradient $dZ = \partial L/\partial Z$ of any array $Z$ is the
# same mean: $dZ = \sum_g \frac{T_g}{T}\, dZ_g$. And for one score (lesson 13) $df_t = (\sigma(f_t) - y_t)/T$, whichever group
# it is of.
#
# **A group counts by its number of targets.** With 8 items, 2 queries and 2 coupons the weights are ⅔, ⅙, ⅙. The mean of the
# three $L_g$ would be another aim: one coupon would count as much as four items, and its noise too.
# %%
rng = np.random.default_rng(24)
f, y, of = rng.standard_normal(12), np.tile([1.0, 0], 6), np.repeat([0, 0, 0, 0, 1, 2], 2)


def loss_by_groups(f):
    total = 0.0
    for g in range(3):
        own = of == g
        loss, _ = pointwise_forward(f[own], y[own])
        total += own.sum() / len(f) * loss
    return total


loss, cache = pointwise_forward(f, y)
df = pointwise_backward(1.0, cache)
assert math.isclose(loss_by_groups(f), loss) and scoreboard(("scores f", df, f, loss_by_groups))

# %% [markdown]
# The same through the whole model: the gradient of one mixed batch, against the weighted sum of the gradients of three
# batches, one for each group. `relative_error` is the largest difference of two arrays, divided by their largest entry.
# %%
parts, task = choose(ALL, ALL)
some = []
for g, count in enumerate((6, 3, 2)):
    some.append(rng.choice(np.flatnonzero(parts.test.group == g), count))
some = np.concatenate(some)
trained = assemble(parts)
params = {name: w.astype(np.float64) for name, w in trained.params.items()}
backend = NumpyBackend(trained.model(), params, trained.config)


def gradients_of(rows):
    return backend.gradients(pack(log.schema, parts.events, parts.test.take(rows), task.candidates[rows]))


loss, mixed = gradients_of(some)
total = {name: np.zeros_like(w) for name, w in params.items()}
for g in range(3):
    rows = some[parts.test.group[some] == g]
    _, own = gradients_of(rows)
    for name, gradient in own.items():
        total[name] += len(rows) / len(some) * dense(gradient, params[name].shape)
worst = max(relative_error(dense(mixed[name], w.shape), total[name]) for name, w in params.items())
print(f"mixed batch of {len(some)} moments: loss {loss:.4f}, its gradient is the weighted sum to {worst:.0e}")
assert worst < 1e-9

# %% [markdown]
# Batches are cut from the shuffled samples of all groups. So they mix the groups in proportion, on average, and the expected
# gradient of a batch is that of the whole.
# %%
order = rng.permutation(len(parts.train.user))
shares = np.bincount(parts.train.group) / len(parts.train.group)
first = np.bincount(parts.train.group[order[:320]]) / 320
print("shares of items, queries, coupons: all", shares.round(3), " first 20 batches", first.round(3))
assert np.abs(first - shares).max() < 0.06

# %% [markdown]
# ## What a difference is worth
#
# Two tasks are tested on the **same** users and negatives, so lesson 22 applies: $d_u = b_u - a_u$, and
#
# $$ se(\bar d) = \frac{sd(d_u)}{\sqrt S} \qquad \text{against the unpaired} \qquad \sqrt{se(\bar a)^2 + se(\bar b)^2} $$
#
# With a pencil: $a = (1, 0, 1, 0)$ and $b = (1, ½, 1, ½)$. $d = (0, ½, 0, ½)$ has the mean ¼ and the deviation $\sqrt{1/12}$,
# so the standard error is 0.144. Unpaired it would be 0.323.
# %%


def difference(a, b):  # two AUC -> mean, standard error, the unpaired one
    d = b.each - a.each
    return d.mean(), d.std(ddof=1) / math.sqrt(len(d)), math.hypot(a.se, b.se)


def in_words(d, se, unpaired):
    return f"{d:+.3f} ± {se:.3f} (unpaired ± {unpaired:.3f})"


a = auc(np.array([[1, 0.5], [0, 0.5], [1, 0.5], [0, 0.5]]))  # the positive's score above or below that of the negative
b = auc(np.array([[1, 0.5], [0.5, 0.5], [1, 0.5], [0.5, 0.5]]))  # … or the same: a tie
print("pencil:", in_words(*difference(a, b)))
assert np.allclose(difference(a, b), [0.25, math.sqrt(1 / 48), math.hypot(1 / math.sqrt(12), 1 / math.sqrt(48))])

# %% [markdown]
# ## How much could be gained? Two ceilings
#
# In the simulated shop the chance of the next object is a formula, for a reader who sees one group and for one who sees all.
# The AUCs of both are ceilings (lesson 16). Their difference is what the other groups are worth to a perfect reader: the
# planted effect.
# %%
ceilings = {}
for target in ALL:
    for name, history in (("one", (target,)), ("all", ALL)):
        parts, task = choose(history, (target,))
        s = task.samples
        ceilings[target, name] = auc(ceiling(world, log, s.user, s.time, s.group, task.candidates))
    one, both = ceilings[target, "one"], ceilings[target, "all"]
    gain = difference(one, both)
    print(f"{target:8} one group {one.mean:.3f}, all groups {both.mean:.3f} ({len(s.user)} users): gain {in_words(*gain)}")
    assert gain[0] > 0.02 and gain[0] > 4 * gain[1] and gain[1] < gain[2]

# %% [markdown]
# ## Three models, two seeds each
#
# We rank items. Each model is small and trained for two epochs; that is enough to see a planted effect of 0.05.
# %%
SEEDS = (0, 1)
SETTINGS = dict(width=32, spaces=4, dense_init=0.176, epochs=2, evaluations=1, eval_negatives=4)
TASKS = {"one2one": (ALL[:1], ALL[:1]), "all2one": (ALL, ALL[:1]), "all2all": (ALL, ALL)}
runs = {name: [] for name in TASKS}
for name, (history, targets) in TASKS.items():
    for seed in SEEDS:
        parts, task = choose(history, targets)
        trained = fit(log, seed=seed, **SETTINGS).trained
        everything = score(trained.backend(), parts, task)
        items = task.samples.group == log.schema.index("items")
        runs[name].append(auc(everything[items]))
for name, of_seeds in runs.items():
    for seed, run in zip(SEEDS, of_seeds):
        gain = in_words(*difference(runs["one2one"][seed], run))
        print(f"{name}, seed {seed}: AUC of items {run.mean:.3f}; over one2one {gain}")
gains = {name: [difference(runs["one2one"][seed], runs[name][seed])[0] for seed in SEEDS] for name in ("all2one", "all2all")}
for found in gains.values():
    assert min(found) > 0 and np.mean(found) > 0.005
    assert max(found) < difference(ceilings["items", "one"], ceilings["items", "all"])[0]

# %% [markdown]
# With both seeds, both tasks find a part of the planted 0.049. They find less than a perfect reader, as the models are small
# and trained for a short time. (`lessons/RESULTS.md` has the full runs.) all2all even takes more steps, because it has more
# samples.
#
# Look at all2all's two gains. In this run they differ by more than the ± of each. That ± speaks of other **users**; another
# **seed** is another model (lesson 22). A table of tasks needs several seeds before it says "comparable".
#
# ## The picture
#
# Left: the seven models; light blue is what a history holds, dark blue what is ranked. Right: gains over one2one. Green:
# perfect readers; blue: our models, a point for each seed. The grey bars are the unpaired errors.
# %%
with figure("24_tasks", columns=2, size=(13, 4.2)) as (fig, axes):
    rows = [(f"one2one {g}", [g], [g]) for g in ALL]
    rows += [(f"all2one {g}", ALL, [g]) for g in ALL]
    rows += [("all2all", ALL, ALL)]
    seen = np.array([[g in history for g in ALL] + [2 * (g in ranked) for g in ALL] for _, history, ranked in rows])
    axes[0].imshow(seen, cmap="Blues", vmax=3, aspect="auto")
    axes[0].axvline(2.5, color="k")
    axes[0].set(title="what a history holds | what is ranked", xticks=range(6), xticklabels=ALL * 2)
    axes[0].set(yticks=range(7), yticklabels=[name for name, *_ in rows])
    bars = [(f"ceiling of {g}", ceilings[g, "one"], ceilings[g, "all"]) for g in ALL]
    for name in ("all2one", "all2all"):
        for seed in SEEDS:
            bars.append((f"{name}, items, seed {seed}", runs["one2one"][seed], runs[name][seed]))
    for n, (_, a, b) in enumerate(bars):
        d, se, unpaired = difference(a, b)
        axes[1].errorbar(d, n - 0.12, xerr=2 * se, fmt="o", color="C2" if n < 3 else "C0", capsize=3)
        axes[1].errorbar(d, n + 0.18, xerr=2 * unpaired, fmt="none", color="0.7", capsize=3)
    axes[1].axvline(0, color="k", lw=0.8)
    axes[1].set(title="gain over one2one ± 2 standard errors", yticks=range(len(bars)), xlabel="difference of AUC")
    axes[1].set(yticklabels=[name for name, *_ in bars], ylim=(len(bars) - 0.4, -0.6))

# %% [markdown]
# ## What people get wrong
#
# 1. **Unpaired errors.** They are as large as if a part of the users had been thrown away.
# 2. **all2all's AUC over all groups, held against a model of items.** Those are other users and other objects.
# 3. **"Comparable, since the difference is not significant."** With few users no gain is. Say which gain could have been seen.
# 4. **The mean of the groups' losses taken for the mean over targets.** That trains another model: groups with few targets
#    weigh more.
# %%
_, paired_se, unpaired_se = difference(runs["one2one"][0], runs["all2one"][0])
print(f"1. unpaired: {unpaired_se / paired_se:.1f} times as large, as with {(paired_se / unpaired_se) ** 2:.0%} of the users")
print(f"2. all2all over all groups {auc(everything).mean:.3f}, its items alone {runs['all2all'][-1].mean:.3f}")
_, coupon_se, _ = difference(ceilings["coupons", "one"], ceilings["coupons", "all"])
users = len(ceilings["coupons", "one"].each)
print(f"3. with {users} users of coupons, a gain below {2 * coupon_se:.3f} is within two standard errors")
counts = np.bincount(of)
print(f"4. weight of an item's target: 1/{len(of)}, in the mean of three losses 1/{3 * counts[0]}; of a coupon's: ", end="")
print(f"1/{len(of)} and 1/{3 * counts[2]}")
assert unpaired_se > 1.2 * paired_se and 3 * counts[2] < len(of) < 3 * counts[0]

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 24` (from the repository's root): the protocol with groups; the error of a gain when
# users have several rankings; and a loss that learns how much each group should weigh.
# %%
print("lesson 24 done: targets count alike in one mean, tasks share users and negatives, and a gain has its own standard error")
