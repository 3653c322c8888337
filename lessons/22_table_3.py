# %% [markdown]
# # Lesson 22. Table 3 and Figure 2: which differences are real?
#
# *Before it: lessons 16 (AUC) and 19 to 21 (the competitors). About 45 minutes.*
#
# Table 3 of the paper has five models on two logs, one number each, without a ±. On Clothing ATRank has 0.7905 and the Bi-LSTM
# 0.7869. Is ATRank better there, or did it have luck with the test?
#
# ## The idea with eight users
#
# A test user has one chosen object and one negative. Model A gives the user 1 if it puts the chosen one first, else 0 (½ for
# a tie).
#
# | user | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | mean |
# |---|---|---|---|---|---|---|---|---|---|
# | A | 1 | 1 | 1 | 1 | 1 | 1 | 0 | 0 | 0.750 |
# | B | 1 | 1 | 1 | 1 | 1 | 0 | 0 | 0 | 0.625 |
# | A − B | 0 | 0 | 0 | 0 | 0 | 1 | 0 | 0 | 0.125 |
#
# Look at the first two rows alone, and each mean could easily have come out otherwise: eight coins. Look at the third row,
# and there is much less chance in it. Seven users are easy or hard for **both** models, and say nothing about the difference.
# This is the whole lesson: **compare two models user by user, on the same users and the same negatives.** It is called a
# paired comparison.
#
# ## The equations
#
# $a_u$ is what model A gets for user $u$, $b_u$ the same for B, and there are $S$ users. A mean of $S$ numbers has a
# **standard error**, an estimate of how far it would move if we drew other users:
#
# $$ \bar a = \frac1S \sum_u a_u \qquad se(\bar a) = \sqrt{\frac{\sum_u (a_u - \bar a)^2}{S (S-1)}}
#    \approx \sqrt{\frac{\bar a (1 - \bar a)}{S}} $$
#
# The last form holds if all $a_u$ are 0 or 1. For a difference there are two ways. Unpaired, the errors of both means are put
# together; paired, we take $d_u = a_u - b_u$ first:
#
# $$ se_{unpaired} = \sqrt{se(\bar a)^2 + se(\bar b)^2} \qquad
#    se_{paired} = se(\bar d) = \sqrt{\frac{\sum_u (d_u - \bar d)^2}{S (S-1)}} $$
#
# Both are right, each for its question. The unpaired one is for two models that were tested on different users. If they were
# tested on the same ones, it ignores what they have in common: $se(\bar d)^2 = se(\bar a)^2 + se(\bar b)^2 -
# 2\,\mathrm{cov}(\bar a, \bar b)$. This lesson has no gradient: there is nothing to descend on.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: small products lose by more threads
import math
import tempfile

import numpy as np
from _common import figure

from atrank_np import read_log
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.shop import write
from atrank_np.datasets.shop_ceiling import ceiling
from atrank_np.datasets.shop_world import make_world
from atrank_np.evaluation.paired import Runs, paired_difference
from atrank_np.evaluation.scoring import score
from atrank_np.metrics import auc
from atrank_np.training import fit

# %% [markdown]
# ## The slow version, symbol by symbol, and the package's
#
# `python -m atrank_np.compare` trains models and calls `paired_difference`. It wants to know who was tested, and refuses if
# the two were tested on different users or negatives.
# %%


def standard_error_slow(values):
    S = len(values)
    mean = sum(values) / S
    squares = 0.0
    for value in values:
        squares += (value - mean) ** 2
    return math.sqrt(squares / (S * (S - 1)))


def paired_slow(a, b):  # [S], [S] -> difference, its standard error
    d = []
    for u in range(len(a)):
        d.append(a[u] - b[u])
    return sum(d) / len(d), standard_error_slow(d)


def unpaired(a, b):  # [S], [S] -> the standard error of the difference, as if the users were others
    return math.hypot(standard_error_slow(a), standard_error_slow(b))


def paired(a, b):
    """The package's: of two models with one seed each, tested on the same."""
    tested = {name: np.arange(len(a)) for name in ("user", "group", "candidates")}
    one, other = (Runs("", [], [], np.array([each], float), tested) for each in (a, b))
    return paired_difference(one, other)


pencil_a = np.array([1, 1, 1, 1, 1, 1, 0, 0])
pencil_b = np.array([1, 1, 1, 1, 1, 0, 0, 0])
difference, se = paired(pencil_a, pencil_b)
print(f"eight users: difference {difference:.3f}, paired ± {se:.3f}, unpaired ± {unpaired(pencil_a, pencil_b):.3f}")
assert np.allclose([difference, se], 1 / 8) and np.isclose(unpaired(pencil_a, pencil_b), 0.25, atol=0.01)

rng = np.random.default_rng(22)
a, b = rng.integers(3, size=(2, 40)) / 2
assert np.allclose(paired(a, b), paired_slow(a, b))
scores = np.stack([a, np.full(40, 0.5)], axis=1)  # the positive first: it wins, loses or ties
assert np.isclose(auc(scores).se, standard_error_slow(a))  # the ± of user_auc, which the package prints

# %% [markdown]
# By hand: the mean of $d$ is ⅛. The squares are $(⅞)^2 + 7 · (⅛)^2 = ⅞$, so $se = \sqrt{⅞/(8·7)} = ⅛$. One user who differs is
# one standard error: no proof of anything, but half of the unpaired 0.25.
#
# **Users on whom both agree hardly count.** Add a thousand users whom both models get right. The difference becomes small,
# and the standard error too; their ratio stays. If A alone wins $n_+$ users and B alone wins $n_-$, the ratio is about
# $(n_+ - n_-)/\sqrt{n_+ + n_-}$ (McNemar's test).
# %%
a01, b01 = (rng.random((2, 60)) < [[0.8], [0.6]]).astype(float)
only_a, only_b = (a01 > b01).sum(), (a01 < b01).sum()
more_a, more_b = np.append(a01, np.ones(1000)), np.append(b01, np.ones(1000))
ratios = [np.divide(*paired(a01, b01)), np.divide(*paired(more_a, more_b)), (only_a - only_b) / math.sqrt(only_a + only_b)]
print("difference / se: {:.2f}, with 1,000 who agree {:.2f}, McNemar's {:.2f}".format(*ratios))
assert np.ptp(ratios) < 0.2 * ratios[0]

# %% [markdown]
# ## What the paper's Table 3 says, then
#
# The paper gives the number of users, so the unpaired standard error can be computed from the printed numbers.
# %%
MODELS = ("BPR-MF", "Bi-LSTM", "Bi-LSTM + attention", "CNN", "ATRank")
PRINTED = {"Electronics": (192_403, (0.7982, 0.8757, 0.8769, 0.8804, 0.8921))}
PRINTED["Clothing"] = 39_387, (0.7061, 0.7869, 0.7835, 0.7786, 0.7905)
leads = {}
for data, (users, values) in PRINTED.items():
    atrank = values[-1]
    se = math.sqrt(atrank * (1 - atrank) / users)
    for model, value in zip(MODELS[:-1], values):
        leads[data, model] = (atrank - value) / (math.sqrt(2) * se)
        print(f"{data:12} ATRank − {model:20} {atrank - value:.4f} = {leads[data, model]:5.1f} unpaired standard errors")
assert min(lead for (data, _), lead in leads.items() if data == "Electronics") > 10
assert 1 < leads["Clothing", "Bi-LSTM"] < 1.5

# %% [markdown]
# On Electronics the lead is far outside of chance of this kind. On Clothing there are 1.2 standard errors between ATRank and
# the Bi-LSTM. From that nothing follows, in either direction. Paired, the authors could have known more; the paper does not
# say.
#
# ## How wrong is an AUC with one negative? Draw again
#
# A test has two kinds of luck: which users came, and which negatives were drawn for them. If $p_u$ is the chance that the
# object of user $u$ beats a random negative, the draw alone makes an error of $\sqrt{\sum_u p_u (1 - p_u)}/S$. The rest of
# the standard error is who the users are. Twenty negatives a user shrink the first part; only more users shrink the second.
#
# The simulated shop lets us draw again as often as we like. We make two models: the best possible scores plus noise. Most of
# the noise is the same in both, as two models trained on one log err alike. 300 times we draw users and negatives, and look
# how the difference of the two AUCs varies.
# %%


def shop(users):
    with tempfile.TemporaryDirectory() as folder:
        write(make_world(0), users, folder)
        return read_log(folder)


log = shop(1500)
protocol = Protocol(log)
test = protocol.test
S = len(test.user)
best = np.log(ceiling(make_world(0), log, test.user, test.time, test.group))  # [S, M]
common, apart = rng.standard_normal((2, *best.shape))


def beaten_by_positive(scores):  # [S, M] -> [S, M], whom each user's positive beats
    of_positive = scores[np.arange(S), test.object - 1]
    return of_positive[:, None] > scores


beaten_a = beaten_by_positive(best + common)
beaten_b = beaten_by_positive(best + common + 0.6 * apart)
redraws = []
for _ in range(300):
    users = rng.integers(S, size=S)
    one, other = protocol.negatives.draw(rng, test.take(users), 2).T - 1
    a, b = beaten_a[users, one], beaten_b[users, one]
    b_against_others = beaten_b[users, other]
    difference, se = paired(a, b)
    _, se_apart = paired(a, b_against_others)
    se_unpaired = math.hypot(a.std(ddof=1), b.std(ddof=1)) / math.sqrt(S)
    redraws.append((difference, se, se_unpaired, se_apart))
differences, paired_se, unpaired_se, apart_se = np.array(redraws).T
p = beaten_a.mean(1)
whole = math.sqrt(p.mean() * (1 - p.mean()) / S)
draw = math.sqrt((p * (1 - p)).sum()) / S
print(f"an AUC of {S} users: se {whole:.4f}; the draw alone {draw:.4f}, the users {math.sqrt(whole**2 - draw**2):.4f}")
print(f"A − B varies by {differences.std():.4f}; paired se {paired_se.mean():.4f}, unpaired se {unpaired_se.mean():.4f}")
assert abs(differences.std() / paired_se.mean() - 1) < 0.15 and unpaired_se.mean() > 1.3 * differences.std()

# %% [markdown]
# The paired standard error, computed from ONE draw, tells what 300 draws show. The unpaired one is twice as large here.
#
# **A standard error is no bound.** If errors are normal, the mean is off by more than one of it in 32 % of all cases, by more
# than two in 5 %.
#
# ## Seeds are another luck
#
# Train the same model with another seed and the AUC changes: 0.8305, 0.8345, 0.8319 for the Bi-LSTM with attention on Beauty.
# The paired ± above knows nothing of it, as it compares two *trained* models. With $R$ seeds whose AUCs deviate by $sd$, the
# mean has a standard error of about
#
# $$ \sqrt{se^2 + sd^2/R} $$
#
# More seeds shrink the second part only. (A little is counted twice: a seed's luck with single users is in both parts.) Does
# this formula hold? We try it 4,000 times: user $u$ and seed $r$ give $q_u + z_r$ plus some luck of their own, and the truth
# is 0.
# %%
sd = np.std([0.8305, 0.8345, 0.8319], ddof=1)
se = math.sqrt(0.8323 * (1 - 0.8323) / 22363)
for R in (1, 3, 10, 100):
    print(f"Beauty, the mean of {R:3} seeds: standard error {math.sqrt(se**2 + sd**2 / R):.4f}")

made = np.random.default_rng(221)
R, few, beyond = 10, 200, []
for _ in range(4000):
    q = made.standard_normal(few)
    z = 0.1 * made.standard_normal((R, 1))
    luck = 0.3 * made.standard_normal((R, few))
    terms = q + z + luck  # [R, S]
    error = math.sqrt(terms[0].var(ddof=1) / few + terms.mean(1).var(ddof=1) / R)
    beyond.append(abs(terms.mean()) / error)
off_by_one, off_by_two = np.mean(np.array(beyond) > 1), np.mean(np.array(beyond) > 2)
print(f"4,000 tries of {R} seeds: off by more than one standard error in {off_by_one:.0%}, by more than two in {off_by_two:.0%}")
assert 0.26 < off_by_one < 0.36 and 0.03 < off_by_two < 0.08

# %% [markdown]
# ## Picking by the test
#
# A model is tested at five moments of its training, and the best of the five is reported. How much of that is luck? We take
# five models that are **made equally good**, pick the best on one draw of users and negatives, and judge it on a second draw.
# %%
made = np.random.default_rng(220)
beaten_by_looks = [beaten_by_positive(best + common + 0.6 * made.standard_normal(best.shape)) for _ in range(5)]


def aucs_of_looks():
    """The AUC of each of the five on a fresh draw of users and negatives."""
    users = made.integers(S, size=S)
    drawn = protocol.negatives.draw(made, test.take(users), 1)[:, 0] - 1
    return np.array([look[users, drawn].mean() for look in beaten_by_looks])


flattery = []
for _ in range(300):
    to_pick, to_judge = aucs_of_looks(), aucs_of_looks()
    flattery.append(to_pick.max() - to_judge[to_pick.argmax()])
flattered, flattered_se = np.mean(flattery), np.std(flattery, ddof=1) / math.sqrt(len(flattery))
print(f"the best of five is on average {flattered:.4f} ± {flattered_se:.4f} lower on a new draw")
assert flattered > 4 * flattered_se

# %% [markdown]
# So the winner of a choice must be judged on data that had no part in the choice. (Five moments of one run err more alike
# than these five models, and then there is less luck to pick.) The package decides on validation events, and tests once.
#
# ## A Table 3 in seconds
#
# 240 users of the shop, width 32, two epochs. **Read the columns, not the order**: each model deserves settings of its own,
# and with so few users a lead of 0.06 is two standard errors. One column has other negatives: popular objects, drawn in
# proportion to how often they were taken. Against these, popularity alone falls below ½, and what a model has learned of the
# user is left.
# %%
log = shop(240)
log.schema = log.schema.choose(history=["items", "queries"])
parts = Protocol(log)
test, counts = parts.test, parts.popularity[0]
popular = np.zeros(len(test.user), int)  # for each user a popular object that they never touched
for s, user in enumerate(test.user):
    mine = slice(log.offsets[user], log.offsets[user + 1])
    touched = log.object[mine][log.group[mine] == test.group[s]]
    chances = counts.astype(float)
    chances[touched] = 0
    popular[s] = rng.choice(len(counts), p=chances / chances.sum())
uniform_task = parts.task
popular_task = uniform_task._replace(candidates=np.stack([test.object, popular], axis=1))
rows = {"popularity": [auc(counts[task.candidates]) for task in (uniform_task, popular_task)]}
curves = {}
small = dict(width=32, spaces=4, dense_init=0.18, decay=0.3, clip=1.0, epochs=2, evaluations=5, backend="numpy")
own = {
    "BPR-MF": {"model": "bpr_mf"},
    "CNN": {"model": "cnn", "dense_init": 0.088},
    "Bi-LSTM": {"model": "bilstm"},
    "Bi-LSTM + attention": {"model": "bilstm_attention"},
    "ATRank, seed 1": {"seed": 1},
    "ATRank": {},
}
for name, settings in own.items():
    run = fit(log, **(small | settings))
    backend = run.trained.backend()
    rows[name] = [auc(score(backend, parts, task)) for task in (uniform_task, popular_task)]
    curves[name] = np.array(run.rows)
reference = rows["ATRank"][0].each
print(f"{'':20} AUC             ATRank's lead      (unpaired)   popular negatives")
for name, (by_uniform, by_popular) in rows.items():
    lead, se = paired(reference, by_uniform.each)
    alone = unpaired(reference, by_uniform.each)
    print(f"{name:20} {by_uniform.mean:.3f} ± {by_uniform.se:.3f}   {lead:+.3f} ± {se:.3f}   (± {alone:.3f})", end="")
    print(f"      {by_popular.mean:.3f} ± {by_popular.se:.3f}")
assert rows["popularity"][1].mean < 0.5 < rows["popularity"][0].mean - 0.1
for name in own:
    assert rows[name][1].mean > 0.6

# %% [markdown]
# Two rows are the same model with two seeds. Their difference shows how much of such a table is the luck of training.
#
# ## The picture: redraws, and Figure 2 by two axes
#
# Left: A − B in 300 draws, and what ± the two formulas give. Middle and right: the test AUC during training, as in the paper's
# Figure 2, against samples seen and against seconds. "Converges faster" is another statement on each axis: a model may need
# fewer samples and more time. (In this run, of 240 users.)
# %%
with figure("22_table_3", columns=3, size=(14, 4.2)) as (fig, axes):
    axes[0].hist(differences, bins=np.arange(-15.5, 26, 2) / S, color="0.8")  # differences are multiples of 1/S
    for y, se, words in ((8, paired_se, "paired"), (16, unpaired_se, "unpaired")):
        axes[0].errorbar(differences.mean(), y, xerr=2 * se.mean(), fmt="o", capsize=4, label=f"± 2 se, {words}")
    axes[0].axvline(0, color="k", lw=0.8)
    axes[0].set(title="A − B, 300 draws of users and negatives", xlabel="difference of two AUCs", ylabel="draws", ylim=(0, 62))
    axes[0].legend(fontsize=8, loc="upper left")
    for (name, curve), colour in zip(curves.items(), ("C4", "C1", "C2", "C3", "C0", "C0")):
        style = dict(color=colour, ls="--" if "seed" in name else "-", marker=".", label=name)
        axes[1].plot(curve[:, 1] / 1000, curve[:, 5], **style)
        axes[2].plot(curve[:, 7], curve[:, 5], **style)
    axes[1].set(title="AUC against samples seen …", xlabel="thousands of training samples", ylabel="test AUC", ylim=(0.3, 0.95))
    axes[2].set(title="… and against seconds", xlabel="seconds of training", ylabel="test AUC", ylim=(0.3, 0.95))
    axes[1].legend(fontsize=8, loc="lower right")

# %% [markdown]
# ## What people get wrong
#
# 1. **Each model gets its own negatives.** Then the luck of the draw does not cancel.
# 2. **The best moment is picked by the test**, and reported as if it had been known before.
# 3. **One seed each.** The paired ± is of users; the luck of training is not in it.
# 4. **"Not significant" read as "equal".** A lead of one standard error is no proof of a difference, and none of its absence.
# %%
print(f"1. own negatives for each: se {apart_se.mean():.4f}; the same ones: {paired_se.mean():.4f}")
print(f"2. the best of five equal models: {flattered:.4f} too high")
difference, se = paired(reference, rows["ATRank, seed 1"][0].each)
print(f"3. two seeds of one model, in this run: {difference:+.3f} ± {se:.3f}")
deviation = se * math.sqrt(len(reference))  # of one user's difference
needed = [round((2 * deviation / lead) ** 2, -3) for lead in (0.01, 0.003)]
print(f"4. users needed to see a lead of 0.01 or 0.003 at two standard errors: about {needed[0]:,.0f} and {needed[1]:,.0f}")
assert apart_se.mean() > 1.5 * paired_se.mean()

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 22` (from the repository's root): the paired error with seeds, the two parts of a test's
# luck, and a case that this lesson does not have: users who are tested several times.
# %%
print("lesson 22 done: same users, same negatives, user by user; users, draws and seeds are three kinds of luck")
