# %% [markdown]
# # Lesson 22. Table 3 and Figure 2: which differences are there?
#
# *Before it: lessons 16 (AUC) and 19 to 21 (the competitors). About 35 minutes.*
#
# Table 3 of the paper holds five models on two logs, one number each, without a ±. Is one above the other because it is better?
# A test user $u$ with one negative says $a_u$ = 1, ½ or 0: whether the model put their object first. Over $S$ users
#
# $$ \bar a = \frac1S \sum_u a_u \qquad se(\bar a) = \sqrt{\frac{\sum_u (a_u - \bar a)^2}{S (S-1)}}
#    \approx \sqrt{\frac{\bar a (1 - \bar a)}{S}} $$
#
# Two models on the **same** users and negatives are compared user by user, $d_u = a_u - b_u$:
#
# $$ se(\bar d) = \sqrt{\frac{\sum_u (d_u - \bar d)^2}{S (S-1)}} \qquad
#    se(\bar d)^2 = se(\bar a)^2 + se(\bar b)^2 - 2\,\mathrm{cov}(\bar a, \bar b) $$

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: small products lose by more threads
import math
import tempfile

import numpy as np
from _common import figure, scoreboard

from atrank_np import read_log
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.shop import write
from atrank_np.datasets.shop_ceiling import ceiling
from atrank_np.datasets.shop_world import make_world
from atrank_np.evaluation.paired import Runs, paired_difference
from atrank_np.evaluation.scoring import score
from atrank_np.metrics import auc
from atrank_np.training import fit

TABLE_3 = {"BPR-MF": (0.7982, 0.7061), "Bi-LSTM": (0.8757, 0.7869), "Bi-LSTM + attention": (0.8769, 0.7835),
           "CNN": (0.8804, 0.7786), "ATRank": (0.8921, 0.7905)}  # fmt: skip
for place, (name, S) in enumerate({"Electronics": 192_403, "Clothing": 39_387}.items()):
    *others, best = (value[place] for value in TABLE_3.values())
    se = math.sqrt(best * (1 - best) / S)
    leads = [round((best - other) / (se * 2**0.5), 1) for other in others]
    print(f"{name}, {S} users: se {se:.4f}; ATRank's lead over {list(TABLE_3)[:-1]} in unpaired standard errors: {leads}")


# %% [markdown]
# On Clothing 1.2 standard errors stand between ATRank and the Bi-LSTM: nothing follows. Paired, one could know, and
# `python -m atrank_np.compare` pairs.
#
# ## The slow version, symbol by symbol
# %%
def paired_slow(a, b):  # [S], [S] -> difference, standard error
    d = [a[u] - b[u] for u in range(len(a))]
    S, mean = len(d), sum(d) / len(d)
    return mean, math.sqrt(sum((x - mean) ** 2 for x in d) / (S * (S - 1)))


rng = np.random.default_rng(22)
a, b = rng.integers(3, size=(2, 40)) / 2
package = auc(np.stack([a, np.full(40, 0.5)], 1))  # user_auc of scores, the positive first
assert (package.each == a).all() and np.isclose(package.se, paired_slow(a, 0 * a)[1])  # the package's ±: b is nothing
who = lambda a: dict.fromkeys(("user", "group", "candidates"), np.arange(len(a)))  # the same for both, or it refuses
paired = lambda *pair: paired_difference(*(Runs("", [], [], np.array([a], float), who(a)) for a in pair))
unpaired = lambda a, b: math.hypot(paired(a, 0 * a)[1], paired(b, 0 * b)[1])
assert np.allclose(paired(a, b), paired_slow(a, b))

# %% [markdown]
# ## The gradient: which user makes the error bar?
# %%
S, d = len(a), a - b  # F1
r = d - d.mean()  # F2
v = (r**2).sum() / (S - 1)  # F3
se = math.sqrt(v / S)  # F4
dv = 1 / (2 * S * se)  # B4: of a root, 1 over twice the root
dr = dv * 2 * r / (S - 1)  # B3
dd = dr - dr.mean()  # B2: the mean is taken off here too, and is 0 already
da, db = dd, -dd  # B1
assert scoreboard(
    ("v", np.array([dv]), np.array([v]), lambda v: math.sqrt(v[0] / S)),
    ("r", dr, r, lambda r: math.sqrt((r**2).sum() / (S - 1) / S)),
    ("d", dd, d, lambda d: d.std(ddof=1) / math.sqrt(S)),
    *[("a", da, a, lambda a: paired_slow(a, b)[1]), ("b", db, b, lambda b: paired_slow(a, b)[1])],
)
more = [np.concatenate([x, np.ones(1000)]) for x in (a, b)]  # and a thousand users whom both get right
print("difference / se:", *[f"{np.divide(*paired_slow(*pair)):.3f}" for pair in ((a, b), more)], "(with 1000 who agree)")

# %% [markdown]
# Collapsed: $dd_u = (d_u - \bar d)\, /\, (S (S-1)\, se)$. Users on whom both agree, $d_u = 0$, hardly count. If A alone wins
# $n_+$ users and B alone $n_-$, then $\bar d / se \approx (n_+ - n_-) / \sqrt{n_+ + n_-}$ (McNemar's test), however many agree.
#
# **With a pencil.** Eight users, $a$ = 1 1 1 1 1 1 0 0 and $b$ = 1 1 1 1 1 0 0 0. One user differs: $\bar d = ⅛$. The squares are
# $(⅞)^2 + 7 (⅛)^2 = ⅞$, so $se = \sqrt{⅞ / (8·7)} = ⅛$. Unpaired it would be 0.25.
# %%
pencil_a, pencil_b = np.arange(8) < 6, np.arange(8) < 5
print("pencil: difference {:.3f} ± {:.3f}".format(*paired(pencil_a, pencil_b)), f" unpaired ± {unpaired(pencil_a, pencil_b):.2f}")
assert np.allclose(paired(pencil_a, pencil_b), 0.125)


# %% [markdown]
# ## What one uniform negative says, in a world that we can draw again
#
# Two made-up models of the shop: the best possible scores, disturbed, B's a little more; they err alike, as two models of one log
# do. We draw other users and other negatives, 300 times. If $p_u$ is the chance that the object of user $u$ beats a negative, the
# draw alone makes an error of $\sqrt{\sum_u p_u (1 - p_u)} / S$; the rest of the ± is who the users are. Twenty negatives a user
# shrink the first part; only more users shrink the second.
# %%
def shop(users):
    with tempfile.TemporaryDirectory() as folder:
        write(make_world(0), users, folder)
        return read_log(folder)


log = shop(1500)
protocol = Protocol(log)
test, S = protocol.test, len(protocol.test.user)
best = np.log(ceiling(make_world(0), log, test.user, test.time, test.group))
common, apart = rng.standard_normal((2, *best.shape))
models = best + common, best + common + 0.6 * apart
beaten = [m[np.arange(S), test.object - 1][:, None] > m for m in models]  # [S, M]: whom does each positive beat?
redraws = []
for _ in range(300):
    users = rng.integers(S, size=S)
    one, other = protocol.negatives.draw(rng, test.take(users), 2).T - 1
    a, b, against_others = beaten[0][users, one], beaten[1][users, one], beaten[1][users, other]
    redraws.append((*paired(a, b), unpaired(a, b), paired(a, against_others)[1]))
differences, paired_se, unpaired_se, apart_se = np.array(redraws).T
p = beaten[0].mean(1)
whole, draw = math.sqrt(p.mean() * (1 - p.mean()) / S), math.sqrt((p * (1 - p)).sum()) / S
print(f"an AUC of {S} users: se {whole:.4f}, of which the draw alone {draw:.4f}, the users {math.sqrt(whole**2 - draw**2):.4f}")
print(f"A - B: spread over redraws {differences.std():.4f}, paired se {paired_se.mean():.4f}, unpaired {unpaired_se.mean():.4f}")
assert abs(differences.std() / paired_se.mean() - 1) < 0.15 and unpaired_se.mean() > 1.3 * differences.std()

# %% [markdown]
# **Picking by the test.** A model is looked at five times, and the best look is reported. The largest of five numbers is never
# below the last of them, so its lead over the end of the run proves nothing. The question is how much luck is in it. We take five
# looks that are made equally good, pick the best on one draw of users and negatives, and judge it on a second draw. (Looks at one
# run err more alike than these, and then there is less luck to pick.)
# %%
made, flattery = np.random.default_rng(220), []
looks = [best + common + 0.6 * made.standard_normal(best.shape) for _ in range(5)]
beaten_by_looks = [m[np.arange(S), test.object - 1][:, None] > m for m in looks]


def aucs_of_looks():
    """The AUC of each look on a fresh draw of users and negatives."""
    users = made.integers(S, size=S)
    drawn = protocol.negatives.draw(made, test.take(users), 1)[:, 0] - 1
    return np.array([look[users, drawn].mean() for look in beaten_by_looks])


for _ in range(300):
    to_pick, to_judge = aucs_of_looks(), aucs_of_looks()
    flattery.append(to_pick.max() - to_judge[to_pick.argmax()])
flattered, flattered_se = np.mean(flattery), np.std(flattery, ddof=1) / math.sqrt(len(flattery))
print(f"the best of five looks: on average {flattered:.4f} ± {flattered_se:.4f} lower on a new draw; one AUC's se is {whole:.4f}")

# %% [markdown]
# **Seeds** are another noise: 0.8305, 0.8345, 0.8319 for the Bi-LSTM with attention on Beauty, with the deviation $sd$. The mean
# of $R$ seeds has a standard error of about $\sqrt{se^2 + sd^2 / R}$. (A little less in truth: a seed's luck with single users is
# counted in both parts.) A claim about a model needs both.
#
# A standard error is no bound. Where errors are normal, the mean is off by more than one of it in 32 % of all cases, and by more
# than two in 5 %. We try it: a user $u$ and a seed $r$ give $q_u + z_r$ and some luck of their own; the truth is 0.
# %%
sd, se = np.std([0.8305, 0.8345, 0.8319], ddof=1), math.sqrt(0.8323 * (1 - 0.8323) / 22363)
print("Beauty, standard error of the mean of R seeds:", {R: round(math.sqrt(se**2 + sd**2 / R), 4) for R in (1, 3, 10, 100)})

made, R, few, beyond = np.random.default_rng(221), 10, 200, []
for _ in range(4000):
    q, z, luck = made.standard_normal(few), 0.1 * made.standard_normal((R, 1)), 0.3 * made.standard_normal((R, few))
    terms = q + z + luck  # [R, S]
    error = math.sqrt(terms[0].var(ddof=1) / few + terms.mean(1).var(ddof=1) / R)
    beyond.append(abs(terms.mean()) / error)
one, two = (np.mean(np.array(beyond) > times) for times in (1, 2))
print(f"4000 tries of {R} seeds: off by more than one standard error in {one:.0%}, by more than two in {two:.0%}")
assert 0.26 < one < 0.36 and 0.03 < two < 0.08

# %% [markdown]
# ## A Table 3 in seconds
#
# 240 users, width 32, two epochs: for the columns, not for the order. (The CNN starts from smaller weights, or learns little;
# each model deserves its own settings.) Popularity alone has 0.6485 on Beauty: a uniform negative is mostly a thing that few buy.
# So one column has popular ones, drawn by the counts that popularity scores with: in a small shop their luck is against it.
# %%
log = shop(240)
log.schema = log.schema.choose(history=["items", "queries"])
parts = Protocol(log)
test, counts = parts.test, parts.popularity[0]
popular = rng.choice(len(counts), p=counts / counts.sum(), size=(len(test.user), 50))  # of 50, the first that they never touched
for s, user in enumerate(test.user):
    mine = slice(*log.offsets[user : user + 2])
    popular[s, 0] = popular[s][~np.isin(popular[s], log.object[mine][log.group[mine] == test.group[s]])][0]
tasks = (task := parts.task), task._replace(candidates=np.stack([test.object, popular[:, 0]], 1))
small = dict(width=32, spaces=4, dense_init=0.18, decay=0.3, clip=1.0, epochs=2, evaluations=5, backend="numpy")
rows = {"popularity": ([auc(counts[t.candidates]) for t in tasks], None)}
own = {"BPR-MF": dict(model="bpr_mf"), "CNN": dict(model="cnn", dense_init=0.088), "Bi-LSTM": dict(model="bilstm")}
own |= {"Bi-LSTM + attention": dict(model="bilstm_attention"), "ATRank, seed 1": dict(seed=1), "ATRank": {}}
for name, settings in own.items():
    run = fit(log, **small | settings)
    rows[name] = [auc(score(run.trained.backend(), parts, which)) for which in tasks], np.array(run.rows)
reference = rows["ATRank"][0][0].each
print(f"{'':20} AUC             ATRank's lead      (unpaired)   popular negatives")
for name, ((uniform, by_popularity), _) in rows.items():
    (lead, se), alone = paired(reference, uniform.each), unpaired(reference, uniform.each)
    print(
        f"{name:20} {uniform.mean:.3f} ± {uniform.se:.3f}   {lead:+.3f} ± {se:.3f}   (± {alone:.3f})"
        f"      {by_popularity.mean:.3f} ± {by_popularity.se:.3f}"
    )

# %% [markdown]
# ## Figure 2, twice: "converges faster" by which axis?
# %%
with figure("22_table_3", columns=3, size=(13, 4)) as (fig, axes):
    axes[0].hist(differences, bins=np.arange(-15.5, 26, 2) / S, color="0.8")  # differences are multiples of 1/S
    for y, se, words in ((8, paired_se, "paired"), (16, unpaired_se, "unpaired")):
        axes[0].errorbar(differences.mean(), y, xerr=2 * se.mean(), fmt="o", capsize=4, label=f"± 2 se, {words}")
    axes[0].axvline(0, color="k", lw=0.8)
    axes[0].set(title="A − B, 300 draws of users and negatives", xlabel="difference of two AUCs", ylabel="draws")
    for (name, (_, curve)), colour in zip(list(rows.items())[1:], ("C4", "C1", "C2", "C3", "C0", "C0")):
        style = dict(color=colour, ls="--" if "seed" in name else "-", marker=".", label=name)
        axes[1].plot(curve[:, 1] / 1000, curve[:, 5], **style)
        axes[2].plot(curve[:, 7], curve[:, 5], **style)
    axes[1].set(title="AUC against samples seen …", xlabel="thousands of training samples", ylabel="test AUC")
    axes[2].set(title="… and against seconds", xlabel="seconds")
    axes[0].legend(fontsize=8, loc="upper left")
    axes[1].legend(fontsize=8, loc="upper left")

# %% [markdown]
# ## What people get wrong
# %%
print(f"1. each model against its own negatives: se {apart_se.mean():.4f}, against the same ones {paired_se.mean():.4f}")
print(f"2. the best of five equal looks, picked by the test, flatters itself by {flattered:.4f} ± {flattered_se:.4f} (above)")
difference, se = paired(reference, rows["ATRank, seed 1"][0][0].each)
print(f"3. two seeds of ONE model: {difference:+.3f} ± {se:.3f}. This ± is of users; it knows nothing of the luck of training")
assert apart_se.mean() > 1.5 * paired_se.mean() and flattered > 4 * flattered_se

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 22`: the paired standard error, and the noise of a draw.
# %%
print("lesson 22 done: same users, same negatives, paired; users and seeds are two noises; say which negatives")
