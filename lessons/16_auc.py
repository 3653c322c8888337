# %% [markdown]
# # Lesson 16. What a number means: AUC, ties, controls, leaks
#
# *Before it: lessons 01 (samples and negatives) and 13 (losses). About 40 minutes.*
#
# The paper judges a model by one number, its average user AUC. On Electronics ATRank has 0.8921. Is that much? It depends on
# what other numbers stand beside it. This lesson says what the number counts, and which four things must be said beside it.
#
# ## The idea with two users
#
# Ann chose two objects of five. The model gives the chosen ones the scores **3** and **1**, the others 2, 1 and 0. Take every
# pair of a chosen and another object and ask: does the chosen one stand above?
#
# | | 2 | 1 | 0 | |
# |---|---|---|---|---|
# | **3** | yes | yes | yes | 3 |
# | **1** | no | equal: ½ | yes | 1½ |
#
# 4½ of 6 pairs are right: Ann's AUC is 0.75. Bob chose one of two objects; it has the score 5, the other has 7. Bob's AUC is 0.
# The average **user** AUC is $(0.75 + 0)/2 = 0.375$.
#
# Note what is never compared: Ann's scores with Bob's. Nobody ranks Ann's objects for Bob. Thrown into one pot, the same
# scores give 7½ of 12 pairs, 0.625. That is the answer to another question.
#
# ## The equation
#
# User $u$ has chosen the objects $I^+$ and not the objects $I^-$. $p_{ui}$ is the score, and $\delta(\cdot)$ is 1 if the
# condition holds, else 0:
#
# $$ AUC = \frac{1}{|U|} \sum_u \frac{1}{|I^+||I^-|} \sum_{i \in I^+} \sum_{j \in I^-} \delta(p_{ui} > p_{uj}) $$
#
# In words: **the chance that a chosen object stands above another one of the same user.** A coin has 0.5, a perfect model 1.
# By the formula a tie is lost. We count it ½: a model that gives all objects the same score then has 0.5, like the coin.
# (This is one of the departures; with real scores ties are rare.)

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
# ## The slow version, symbol by symbol, and the package's
#
# Scores are packed, as everywhere: user $s$ has the places `offsets[s]:offsets[s+1]`.
# %%


def auc_slow(p, label, offsets, tie=0.5):
    users = []
    for start, end in zip(offsets[:-1], offsets[1:]):
        won, pairs = 0.0, 0
        for i in range(start, end):
            for j in range(start, end):
                if label[i] == 1 and label[j] == 0:
                    pairs += 1
                    if p[i] > p[j]:
                        won += 1
                    elif p[i] == p[j]:
                        won += tie
        users.append(won / pairs)
    return sum(users) / len(users)


rng = np.random.default_rng(16)
p = rng.integers(4, size=14).astype(float)
offsets = np.array([0, 5, 7, 14])
label = np.array([1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0])
assert math.isclose(auc_slow(p, label, offsets), user_auc(p, label, offsets).mean)

pencil, chosen = np.array([3.0, 1, 2, 1, 0, 5, 7]), np.array([1, 1, 0, 0, 0, 1, 0])
by_user = user_auc(pencil, chosen, np.array([0, 5, 7])).mean
one_pot = user_auc(pencil, chosen, np.array([0, 7])).mean
print("Ann and Bob: by user", by_user, "  in one pot", one_pot)
assert by_user == 0.375 and one_pot == 0.625

# %% [markdown]
# ## It has no useful gradient
#
# Move a score by a little, and no pair changes its order. So the AUC stays, and its derivative is 0: there is nothing to
# descend along. That is why models are trained with a loss. The pair-wise loss of lesson 13 lies above the AUC's own. A pair
# that is lost has a margin $x = p_{ui} - p_{uj} \le 0$, and there $\log(1 + e^{-x}) \ge \ln 2$. A pair that is won costs 0 in
# the AUC and more than 0 in the loss. So, with equally many pairs for every user,
#
# $$ 1 - AUC \le \frac{\text{pair-wise loss}}{\ln 2} $$
# %%
label_of_pairs, pair_offsets = np.tile([1, 0], 4), np.arange(5) * 2


def auc_of_scores(scores):
    return user_auc(scores, label_of_pairs, pair_offsets).mean


for seed in range(20):
    scores = np.random.default_rng(seed).standard_normal(8)
    assert not numeric_gradient(auc_of_scores, scores).any()
    loss, _ = pairwise_forward(scores, *pairs_of(label_of_pairs, pair_offsets))
    assert 1 - auc_of_scores(scores) <= loss / math.log(2)

# %% [markdown]
# ## Say beside it, first: the ceiling and the controls
#
# In the package's simulated shop the probability of the next object, given all that is visible, is a formula. No model can
# rank better on average, so the AUC of this formula is the **ceiling**. Real logs have none; here we may let it play the
# perfect model. Beside it stand the **controls**, scores that use no model or a spoiled one:
#
# * **popularity**: the score is how often an object was taken in training. A model must beat it, or it has learned nothing
#   about persons.
# * **swapped histories**: each user is ranked with the history of another user. If the number stays, it never came from the
#   history.
# * **in the history**: the score is 1 if the history holds the object, else 0. This one finds a leak, below.
# %%
with tempfile.TemporaryDirectory() as folder:
    world = make_world(0)
    write(world, 1000, folder)
    log = read_log(folder)
parts = Protocol(log)
task = parts.task
S = len(parts.test.user)


def best_score(samples, candidates):
    return ceiling(world, log, samples.user, samples.time, samples.group, candidates)


shuffled = parts.test._replace(user=np.roll(parts.test.user, -1), time=np.roll(parts.test.time, -1))
assert (swapped(parts.test).time == shuffled.time).all()  # the package's control makes the same swap
best = auc(best_score(parts.test, task.candidates))
controls = {
    "a coin": auc(rng.random(task.candidates.shape)),
    "popularity alone": auc(parts.popularity[0][task.candidates]),
    "the perfect model, histories swapped": auc(best_score(shuffled, task.candidates)),
    "the perfect model: the ceiling": best,
}

# %% [markdown]
# ## Two leaks
#
# A leak is a way from the label to the score that will not be there when the model is used.
#
# **The history.** Negatives are drawn from what a user never touched, so no negative is in their history. Suppose that a
# positive may be there. Then "is it in the history?" is right whenever it says yes. So by default a positive that the history
# already holds is no target (`target_repeats = "drop"`). In the JD log 46.9 % of the last events are such.
#
# **The action.** The embedding of a behaviour has a term for its action. The positive was a view or a purchase; a negative
# never happened and has no action. Give the positive its own action and the negative a constant, and the action alone
# answers. So all targets get the same one.
#
# We measure both by scores that look at nothing else.
# %%
log.schema = replace(log.schema, target_repeats="keep")
kept = Protocol(log)
kept_auc = auc(in_history(kept, kept.task))
log.schema = replace(log.schema, target_repeats="drop")
assert (parts.events.object[parts.test.end] == parts.test.object).all()  # the event behind the history is the target itself
bought = log.action[parts.test.end] == log.actions.index("buy")
does_it_say_buy = np.stack([bought, np.zeros(S)], axis=1)  # the positive with its own action; the negative says nothing
rows = {
    "leak: in the history, repeats kept": kept_auc,
    "the same, repeats dropped": auc(in_history(parts, task)),
    "leak: the positive's own action": auc(does_it_say_buy),
}
rows |= controls
for name, value in rows.items():
    print(f"{name:38} {value.mean:.3f} ± {value.se:.3f}")
assert rows["the same, repeats dropped"].mean == 0.5 < kept_auc.mean
assert np.isclose(rows["leak: the positive's own action"].mean, 0.5 + bought.mean() / 2)  # right if bought, else a tie
assert best.mean > rows["popularity alone"].mean + 0.1
assert best.mean > rows["the perfect model, histories swapped"].mean + 0.1

# %% [markdown]
# Read the table from above. A score that knows nothing of tastes has 0.5 and more, by the leak alone. A clever model finds
# such a leak by itself, and its number then says little.
#
# ## Second: the standard error
#
# With one negative a user says 0, ½ or 1. The mean of $S$ such numbers has the standard error $\sqrt{AUC (1 - AUC)/S}$. For
# 22,363 users at 0.8 that is 0.0027. So a third decimal place means little there.
#
# Two kinds of luck are in it: which negatives were drawn, and which users came. The first can be seen: draw again, for the
# same users. It shrinks with more negatives; the second does not. (Lesson 22 takes both apart, and compares two models.)
# %%
everything = best_score(parts.test, None)  # [S, M]: the scores of all objects
positive = everything[np.arange(S), parts.test.object - 1][:, None]
beats = (positive > everything) + 0.5 * (positive == everything)  # how a positive does against each object
items = log.group == log.schema.index("items")
user_of_event = np.repeat(np.arange(len(log.users)), np.diff(log.offsets))
touched = np.zeros((len(log.users), 1 + beats.shape[1]), bool)
touched[user_of_event[items], log.object[items]] = True
allowed = ~touched[parts.test.user, 1:]  # what may be drawn as a negative
exact = ((beats * allowed).sum(1) / allowed.sum(1)).mean()


def auc_of_a_draw(R):
    negatives = parts.negatives.draw(rng, parts.test, R)  # [S, R]
    return beats[np.arange(S)[:, None], negatives - 1].mean()


draws = {R: np.array([auc_of_a_draw(R) for _ in range(200)]) for R in (1, 20)}
print(f"standard error for {S} users: formula {math.sqrt(best.mean * (1 - best.mean) / S):.4f}, package {best.se:.4f}")
print(f"spread over draws: 1 negative {draws[1].std():.4f}, 20 negatives {draws[20].std():.4f}; all of them: {exact:.4f}")
assert abs(draws[1].mean() - exact) < 0.003 and draws[20].std() < 0.4 * draws[1].std()

# %% [markdown]
# ## Third: which negatives?
#
# A uniform negative is mostly an object that few people take. So a score that knows only what is popular gets something for
# it. Draw negatives in proportion to how often they are taken, and it gets nothing: popularity then has an AUC below ½. A
# model loses a part of its AUC too, the part that it owed to popularity. Two AUCs can be compared only if the negatives were
# drawn in the same way.
# %%
counts = parts.popularity[0][1:]  # of all objects
count_of_positive = counts[parts.test.object - 1][:, None]
popularity_beats = (count_of_positive > counts) + 0.5 * (count_of_positive == counts)
weight = allowed * counts


def exact_auc(beats, weight):
    """The mean over all draws of one negative, drawn in proportion to the weights."""
    return ((beats * weight).sum(1) / weight.sum(1)).mean()


against_popular = exact_auc(beats, weight)
for name, of in (("the perfect model", beats), ("popularity alone", popularity_beats)):
    print(f"{name:18} against uniform negatives {exact_auc(of, allowed):.3f}, against popular ones {exact_auc(of, weight):.3f}")
assert against_popular < exact
assert exact_auc(popularity_beats, weight) < 0.5 < exact_auc(popularity_beats, allowed)

# %% [markdown]
# ## Fourth: what is the number for?
#
# The AUC averages over the whole catalogue. A shop shows ten objects. Take 320 objects and two models. The first always has
# the positive in place 32. The second has it in place 4 for one half of the users, and in place 60 for the other. The mean
# place is 32 both times, and so is the AUC, 0.90. But the **hit rate** among the first ten is 0 and ½. For lists there are
# other metrics, HR@10, NDCG@10 and MRR (`evaluate --full`), and other losses: lesson 27.
# %%
steady = np.full(1000, 32)
two_sided = np.where(np.arange(1000) < 500, 4, 60)
hits = [rank_metrics(place)["hr@10"] for place in (steady, two_sided)]
print("AUC", 1 - steady.mean() / 319, "and", 1 - two_sided.mean() / 319, "  HR@10", hits)
assert hits == [0, 0.5] and steady.mean() == two_sided.mean()

# %% [markdown]
# ## The picture
#
# Left: the leaks (red), the controls (grey) and the ceiling (blue), as distances from a coin's 0.5. Right: the same users and
# model, 200 draws of negatives; with 20 a user the number moves much less. The dashed line is the one draw of the left side.
# %%
with figure("16_auc", columns=2, size=(12.5, 4.2)) as (fig, axes):
    names = list(rows)
    colours = ["C3" if "leak" in n else "C0" if "ceiling" in n else "0.6" for n in names]
    values, errors = [r.mean for r in rows.values()], [2 * r.se for r in rows.values()]
    axes[0].barh(names, np.array(values) - 0.5, left=0.5, xerr=errors, color=colours, capsize=3)
    axes[0].axvline(0.5, color="k", lw=0.8)
    axes[0].invert_yaxis()  # the first row on top
    for n, (value, error) in enumerate(zip(values, errors)):
        axes[0].text(value + error + 0.008, n, f"{value:.3f}", va="center", fontsize=9)
    axes[0].set(xlim=(0.45, 1.03), xlabel="AUC", title=f"{S} users, one negative each, ± 2 standard errors")
    for R, colour in ((1, "C1"), (20, "C0")):
        bins = np.linspace(exact - 0.03, exact + 0.03, 61)
        axes[1].hist(draws[R], bins=bins, color=colour, alpha=0.7, label=f"{R} per user")
    axes[1].axvline(exact, color="k", lw=1, label="all allowed objects")
    axes[1].axvline(best.mean, color="C3", lw=1, ls="--", label="the draw on the left")
    axes[1].set(title="the same users and model, 200 draws of negatives", xlabel="AUC", ylabel="draws", ylim=(0, 75))
    axes[1].legend(loc="upper left", fontsize=8)

# %% [markdown]
# ## What people get wrong
#
# 1. **Ties.** If they are lost, a constant score has the AUC 0; if they are won, it is a perfect model.
# 2. **NaN.** A broken model gives NaN. Sorting puts NaN last, that is on top, and the AUC is 1. The package counts it as
#    losing.
# 3. **One pot for all users.** Then a user with high scores for everything beats others, and no list gets better by that.
# 4. **0.80 against 0.81, no ± given.** On a few hundred users this is luck.
# %%
flat = np.zeros(14)
constant = [auc_slow(flat, label, offsets, tie) for tie in (0, 0.5, 1)]
print("1. a constant score; ties lost, halved, won:", constant)
order = np.argsort(np.argsort([0.2, np.nan]))
print(f"2. NaN for the positive: sorted, it is above: {order[1] > order[0]}; here: {auc(np.array([[np.nan, 0.2]])).mean}")
shifted = p + np.repeat([0, 10, 20], np.diff(offsets))  # a number per user: no order within a user changes
print(
    f"3. a number added per user: by user {user_auc(shifted, label, offsets).mean - user_auc(p, label, offsets).mean:+.2f},",
    end="",
)
print(f" in one pot {user_auc(shifted, label, offsets[[0, -1]]).mean - user_auc(p, label, offsets[[0, -1]]).mean:+.2f}")
print(f"4. 0.80 and 0.81 on {S} users: {0.01 / math.sqrt(2 * 0.16 / S):.1f} unpaired standard errors")
assert constant == [0, 0.5, 1] and user_auc(shifted, label, offsets).mean == user_auc(p, label, offsets).mean

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 16` (from the repository's root): the average user AUC, the control that finds a leak, and
# another metric, NDCG, for scores with ties. What is its fair value then?
# %%
print("lesson 16 done: an AUC means something beside its ceiling, its controls, its negatives and its standard error")
