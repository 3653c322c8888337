# %% [markdown]
# # Lesson 16. What a number means: AUC, ties, controls, leaks
#
# *Before it: lesson 01 (samples and negatives) and 13. About 30 minutes.*
#
# The paper judges a model by its average user AUC. For user $u$ with the chosen objects $I^+$ and other objects $I^-$,
#
# $$ AUC = \frac{1}{|U|} \sum_u \frac{1}{|I^+||I^-|} \sum_{i \in I^+} \sum_{j \in I^-} \delta(p_{ui} > p_{uj}) $$
#
# In words: **the chance that a chosen object stands above another one.** Here is one number; what may we believe because of it?

# %%
import math
import tempfile
from dataclasses import replace

import numpy as np
from _common import figure

from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.shop import write
from atrank_np.datasets.shop_ceiling import ceiling
from atrank_np.datasets.shop_world import make_world
from atrank_np.evaluation.controls import in_history, swapped
from atrank_np.gradcheck import numeric_gradient
from atrank_np.layers.ranking import pairs_of, pairwise_forward
from atrank_np.metrics import auc, rank_metrics, user_auc


# %% [markdown]
# ## The slow version, symbol by symbol
#
# The formula counts a tie as lost. We count it ½: a model that says the same for all then gets 0.5, as a coin would.
# %%
def auc_slow(p, label, offsets, tie=0.5):
    users = []
    for start, end in zip(offsets[:-1], offsets[1:]):
        plus = [p[t] for t in range(start, end) if label[t] == 1]
        minus = [p[t] for t in range(start, end) if label[t] == 0]
        users.append(sum((a > b) + tie * (a == b) for a in plus for b in minus) / (len(plus) * len(minus)))
    return sum(users) / len(users)


rng = np.random.default_rng(16)
p, offsets = rng.integers(4, size=14).astype(float), np.array([0, 5, 7, 14])
label = np.array([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0])
assert math.isclose(auc_slow(p, label, offsets), user_auc(p, label, offsets).mean)  # the package's version

# %% [markdown]
# ## With a pencil
#
# Ann: chosen 3 and 1, others 2, 1, 0. The 3 wins three times; the 1 loses, ties, wins: 4½ of 6 = 0.75. Bob: chosen 5, other 7: 0.
# The average **user** AUC is (0.75 + 0)/2 = 0.375. Thrown into one pot it would be 7½ of 12 = 0.625: another question, for whose
# scores are higher decides there, Ann's or Bob's, and nobody ranks Ann's objects for Bob.
# %%
pencil, chosen = np.array([3.0, 1, 2, 1, 0, 5, 7]), np.array([1, 1, 0, 0, 0, 1, 0])
by_user, one_pot = (user_auc(pencil, chosen, np.array(cuts)).mean for cuts in ([0, 5, 7], [0, 7]))
print("pencil:", by_user, " in one pot:", one_pot)
assert by_user == 0.375 and one_pot == 0.625

# %% [markdown]
# ## Its gradient: none
#
# The AUC is a step function: move a score a little and nothing happens. The derivative is 0 nearly everywhere, so nobody can
# descend along it. The pair-wise loss of lesson 13 is a smooth roof over it: a lost pair has a margin $x \le 0$, and there
# softplus$(-x) \ge \ln 2$. Hence $1 - AUC \le loss / \ln 2$, for equally many pairs per user.
# %%
scores, ones = rng.standard_normal(8), np.tile([1, 0], 4)
pair_of = np.arange(5) * 2
assert not numeric_gradient(lambda p: user_auc(p, ones, pair_of).mean, scores.copy()).any()
assert 1 - user_auc(scores, ones, pair_of).mean <= pairwise_forward(scores, *pairs_of(ones, pair_of))[0] / math.log(2)

# %% [markdown]
# ## A shop where the best possible number is known
#
# In the simulated shop the chance of the next object, given all that is visible, is a formula. No model can beat it on average:
# its AUC is the **ceiling**. Let it play the perfect model, and put the controls beside it:
#
# * **popularity**: score = number of training events of the object. A model must beat it, or it has learned no person.
# * **swapped histories**: each user is ranked with the history of another. If the number stays, it never came from the history.
# * **in the history**: score = 1 if the history holds the object.
# %%
with tempfile.TemporaryDirectory() as folder:
    world = make_world(0)
    write(world, 1000, folder)
    log = read_log(folder)
parts = Protocol(log)
task = parts.task
S = len(parts.test.user)
best_score = lambda samples, candidates: ceiling(world, log, samples.user, samples.time, samples.group, candidates)
shuffled = parts.test._replace(user=np.roll(parts.test.user, -1), time=np.roll(parts.test.time, -1))
best = auc(best_score(parts.test, task.candidates))
rows = {
    "a coin": auc(rng.random(task.candidates.shape)),
    "popularity alone": auc(parts.popularity[0][task.candidates]),
    "the perfect model, histories swapped": auc(best_score(shuffled, task.candidates)),
    "the perfect model: the ceiling": best,
}
assert (swapped(parts.test).time == shuffled.time).all()  # the package's control makes the same swap

# %% [markdown]
# ## Two leaks
#
# A leak is a road from the label to the score that will not exist when the model is used.
#
# **The history.** Negatives are drawn from what a user never touched, so they are never in their history. If a positive may be
# there, "is it in the history?" is right whenever it says yes. So by default a positive that repeats is not a target
# (`target_repeats = "drop"`): in the JD log 46.9 % of last events are such.
#
# **The action.** The embedding of a behaviour has a term for its action. The positive was a view or a purchase; a negative never
# happened and has no action. Give the positive its own and the negative a constant, and the action answers. Therefore all
# targets carry the same one.
# %%
log.schema = replace(log.schema, target_repeats="keep")
kept = Protocol(log)
kept_task = kept.task
log.schema = replace(log.schema, target_repeats="drop")
bought = log.action[parts.test.end] == log.actions.index("buy")  # the event at the history's end is the target itself
assert (parts.events.object[parts.test.end] == parts.test.object).all()
own_action = np.stack([bought, np.zeros(S)], 1)  # all that is looked at: "does the target carry the action buy?"
rows = {
    "leak: in the history, repeats kept": auc(in_history(kept, kept_task)),
    "the same, repeats dropped": auc(in_history(parts, task)),
    "leak: the positive's own action": auc(own_action),
} | rows
for name, value in rows.items():
    print(f"{name:38} {value.mean:.3f} ± {value.se:.3f}")
assert rows["the same, repeats dropped"].mean == 0.5
assert np.isclose(rows["leak: the positive's own action"].mean, 0.5 + bought.mean() / 2)  # wins if bought, else a tie

# %% [markdown]
# ## One uniform negative: what it says and what not
#
# One negative per user makes an unbiased number: its mean over draws is the share, of what the user never touched, that
# stands below the positive. But each user says only 0, ½ or 1, so the standard error is $\sqrt{AUC (1 - AUC) / S}$: for
# 22,363 users at 0.8 it is 0.0027. Twenty negatives take out most of the luck of the draw; that of having met these users
# stays.
# %%
everything = best_score(parts.test, None)  # [S, M]: all objects
mine = everything[np.arange(S), parts.test.object - 1][:, None]
beats = (mine > everything) + 0.5 * (mine == everything)  # how a positive does against each object
items = log.group == log.schema.index("items")
touched = np.zeros((len(log.users), 1 + beats.shape[1]), bool)
touched[np.repeat(np.arange(len(log.users)), np.diff(log.offsets))[items], log.object[items]] = True
allowed = ~touched[parts.test.user, 1:]  # what may be drawn as a negative
exact = ((beats * allowed).sum(1) / allowed.sum(1)).mean()
drawn = lambda R: beats[np.arange(S)[:, None], parts.negatives.draw(rng, parts.test, R) - 1].mean()
draws = {R: [drawn(R) for _ in range(200)] for R in (1, 20)}
print(f"standard error for {S} users: formula {math.sqrt(best.mean * (1 - best.mean) / S):.4f}, package {best.se:.4f}")
print(f"spread over draws: 1 negative {np.std(draws[1]):.4f}, 20 negatives {np.std(draws[20]):.4f}; all of them: {exact:.4f}")
assert abs(np.mean(draws[1]) - exact) < 0.003 and np.std(draws[20]) < 0.4 * np.std(draws[1])
weight = allowed * parts.popularity[0][1:]  # negatives drawn as often as they are acted on
hard = ((beats * weight).sum(1) / weight.sum(1)).mean()
print(f"the perfect model against popular negatives: {hard:.3f}, against uniform ones: {exact:.3f}")
assert hard < exact

# %% [markdown]
# The AUC averages over the whole catalogue; a shop shows ten objects. Two models, 320 objects, both with AUC 0.90:
# %%
steady, bold = np.full(1000, 32), np.where(np.arange(1000) < 500, 4, 60)  # the place of each user's positive
hits = [rank_metrics(rank)["hr@10"] for rank in (steady, bold)]
print(f"mean place {steady.mean():.0f} and {bold.mean():.0f}: the same AUC, but HR@10 is {hits[0]:.1f} and {hits[1]:.1f}")

# %% [markdown]
# ## The picture
# %%
with figure("16_auc", columns=2, size=(12, 4.2)) as (fig, axes):
    names = list(rows)
    colours = ["C3" if "leak" in n else "C0" if "ceiling" in n else "0.6" for n in names]
    values, errors = [r.mean for r in rows.values()], [2 * r.se for r in rows.values()]
    axes[0].barh(names, np.array(values) - 0.5, left=0.5, xerr=errors, color=colours, capsize=3)
    axes[0].axvline(0.5, color="k", lw=0.8)
    axes[0].invert_yaxis()  # the first row on top
    for n, (value, error) in enumerate(zip(values, errors)):
        axes[0].text(value + error + 0.008, n, f"{value:.3f}", va="center", fontsize=9)
    axes[0].set(xlim=(0.45, 1.03), title=f"AUC of {S} users, one negative each, ± 2 standard errors")
    for R, colour in ((1, "C1"), (20, "C0")):
        bins = np.linspace(exact - 0.03, exact + 0.03, 61)
        axes[1].hist(draws[R], bins=bins, color=colour, alpha=0.7, label=f"{R} per user")
    axes[1].axvline(exact, color="k", lw=1, label="all allowed objects")
    axes[1].axvline(best.mean, color="C3", lw=1, ls="--", label="the one draw on the left")
    axes[1].set(title="the same users and model, 200 draws of negatives", xlabel="AUC", ylabel="draws", ylim=(0, 75))
    axes[1].legend(loc="upper left", fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
flat = np.zeros(14)
print("1. a constant score, ties lost, halved, won:", *(auc_slow(flat, label, offsets, tie) for tie in (0, 0.5, 1)))
naive = np.argsort(np.argsort([0.2, np.nan]))  # 2. NaN sorts last, so a broken model looks perfect
nan = auc(np.array([[np.nan, 0.2]])).mean
print(f"2. the positive's score is NaN. Sorted, it is above: {naive[1] > naive[0]}. Here it counts as losing: {nan}")
print(f"3. 0.80 and 0.81 on {S} users: {0.01 / (math.sqrt(2 * 0.16 / S)):.1f} standard errors, unpaired (lesson 22)")

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 16`: the AUC of a pencil, and the control that finds a leak.
# %%
print("lesson 16 done: an AUC means something beside its ceiling, its controls, its negatives and its standard error")
