# %% [markdown]
# # Lesson 00. First run, and the map
#
# *Before it: Python. About 15 minutes; it runs in seconds.*
#
# ATRank (Zhou et al., AAAI 2018) reads what a user did and says what they will do next. The whole model, with the paper's
# equation numbers:
#
# $$ u \to (1)\ S \to (2)\ S_k \to (3, 4, 5)\ C_k \to (6)\ C \to (7)\ e_t \to f = h_t \cdot e_t \to (8)\ \text{loss} $$
#
# behaviours → one common space → K latent spaces → attention in each → joined → what matters for the target t → score →
# loss. This package computes it, and every derivative of it, by hand (and adds a number per object to $f$: lesson 14). Today
# we only use it, and learn to read what it prints.

# %%
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
from _common import HERE, figure, scoreboard

from atrank_np import ATRank, datasets, read_log
from atrank_np.datasets.protocol import Protocol
from atrank_np.evaluation.scoring import score
from atrank_np.layers.ranking import pointwise_backward, pointwise_forward, sigmoid
from atrank_np.metrics import user_auc

# %% [markdown]
# ## A log with a secret
#
# 300 made-up users, 40 objects of four kinds. Each user likes one kind: 85 times of 100 they take it on purpose, else any kind,
# by chance their own; nobody tells the model which. A data set is a folder of CSV files; yours would look the same.
# %%
KINDS, rng = ("tea", "book", "bike", "lamp"), np.random.default_rng(0)
likes, events = rng.integers(4, size=300), ["user,object,time"]
for user, liked in enumerate(likes):
    day = 0
    for _ in range(rng.integers(3, 10)):
        day += int(rng.integers(1, 20))
        kind = liked if rng.random() < 0.85 else rng.integers(4)
        events.append(f"u{user},{KINDS[kind]}{rng.integers(10)},{day * 86400}")
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "events.csv").write_text("\n".join(events) + "\n")
    objects = [f"{kind}{number},{kind}" for kind in KINDS for number in range(10)]
    (Path(folder) / "items.csv").write_text("\n".join(["object,kind", *objects]) + "\n")
    log = read_log(folder)
print(*events[:4], "…", sep="\n")
print(len(log.users), "users,", len(log.time), "events; objects", log.catalogues["items"].objects[:4].tolist(), "…")
shop = datasets.load_shop()  # the simulated shop that comes with the package; `python -m atrank_np.train` takes it
print("the shop:", len(shop.users), "users,", len(shop.time), "events, groups", [g.name for g in shop.schema.groups])

# %% [markdown]
# ## Train and rank
#
# A **step** is one update of all parameters, from 32 targets; an **epoch** is once through all training samples; the **learning
# rate** says how large the steps are (lesson 15).
# %%
settings = dict(width=32, spaces=4, learning_rate=1.0, decay=0.3, dense_init=0.18, table_init=0.2)  # for a model so small
settings["backend"] = "numpy"  # the one to read; "numba", the default, is much faster, once it is compiled
model = ATRank(epochs=4, evaluations=6, **settings).fit(log)
columns = [model.history_[name] for name in ("step", "epoch", "learning_rate", "loss", "test_auc", "test_auc_se")]
for step, epoch, rate, loss, auc, se in zip(*columns):
    print(f"step {step:3}  epoch {epoch:.1f}  learning rate {rate:.2f}  loss {loss:.4f}  test AUC {auc:.3f} ± {se:.3f}")
print(model)
best, scores = model.recommend(log, users=["u7"], n=5)
past = log.catalogues["items"].objects[log.object[log.offsets[7] : log.offsets[8]]]
print("u7 did", past.tolist(), "\n   next?", dict(zip(best[0], scores[0].round(2).tolist())))
assert best[0, 0].startswith(KINDS[likes[7]])  # it found out what u7 likes


# %% [markdown]
# ## What the numbers mean
#
# **loss** is (8), the mean over the targets. A model that knows nothing says "one half", which costs $\ln 2 = 0.6931$.
# **test AUC** is the chance that a user's true next object has a higher score than an object they never touch, 0.5 for
# guessing. $U$ are the test users, $I_u^+$ and $I_u^-$ the positives and negatives of user u, $p_{ui}$ is the score of object i
# for them, and δ is 1 if its argument is true, else 0 (where the paper counts a tie 0, we count it ½):
#
# $$ \mathrm{AUC} = \frac{1}{|U|} \sum_u \frac{1}{|I_u^+||I_u^-|} \sum_{i \in I_u^+} \sum_{j \in I_u^-} \delta(p_{ui} > p_{uj}) $$
#
# **±** is one standard error: with 197 users nobody knows even the second digit. (Who ends with an object that their history
# holds already is not ranked; lesson 16 says why.) Beside it stand **controls**: how far one gets with the number of sales
# alone, and how the model does if each user is given *another's* history. Then it can only use what holds for everybody,
# such as popularity; here, where nothing is popular, that is little more than guessing.
# %%
def auc_slow(score, label, user):
    each = []
    for u in sorted(set(user)):
        mine = [(p, y) for p, y, v in zip(score, label, user) if v == u]
        pairs = [(p, m) for p, y in mine for m, z in mine if y > z]
        each.append(sum(1.0 if p > m else 0.5 if p == m else 0.0 for p, m in pairs) / len(pairs))
    return sum(each) / len(each)


trained, report = model.trained_, model.evaluate(log, at=())
protocol = Protocol(log, trained.config)  # which behaviours are ranked, and against what
task, backend = protocol.task, trained.backend()
scores = score(backend, protocol, task)  # [users, 2]: the positive first, then its negative
label, user = [1, 0] * len(scores), np.repeat(np.arange(len(scores)), 2)
again = auc_slow(scores.ravel(), label, user)
for name in ("test_auc", "popularity_auc", "swapped_history_auc"):
    print(f"{name:20} {report[name]:.3f}")
knows = (np.arange(41) - 1)[task.candidates] // 10 == likes[task.samples.user][:, None]  # a judge that is told the secret
ceiling = auc_slow(knows.ravel(), label, user)
print(f"{'who knows the secret':20} {ceiling:.3f}")
assert abs(again - report["test_auc"]) < 1e-12
assert abs(pointwise_forward(np.zeros(6), np.array([1.0, 0, 1, 0, 0, 1]))[0] - np.log(2)) < 1e-15
assert report["test_auc"] > 0.7 > 0.6 > report["swapped_history_auc"]

# %% [markdown]
# With a pencil: one positive with score 2, negatives with 0.5 and 2. It wins once and ties once: (1 + ½)/2 = 0.75.
# %%
assert auc_slow([2, 0.5, 2], [1, 0, 0], "uuu") == 0.75
assert user_auc(np.array([2, 0.5, 2]), np.array([1, 0, 0]), np.array([0, 3])).mean == 0.75  # the package's version

# %% [markdown]
# ## A first gradient
#
# Training moves every parameter a little against the derivative of the loss by it. The first derivative is by the scores.
# With the chance $p = \sigma(f) = 1/(1+e^{-f})$, the label $y$, 1 for what was chosen and 0 for what was not, and the loss
# $-y \ln p - (1-y)\ln(1-p)$, the derivative by $p$, which we write $dp$, is $(-y/p + (1-y)/(1-p))/T$ for $T$ targets; and
# $\sigma' = p\,(1-p)$ makes $df = (p - y)/T$: how wrong, per target. The board compares with the numeric derivative (lesson
# 02). Lessons 03 to 13 derive one step each of the way further back, and lesson 14 sends this $df$ through all of them.
# %%
f, y = rng.standard_normal(6), np.array([1.0, 0, 1, 0, 0, 1])
p = sigmoid(f)
cost = lambda p: (-y * np.log(p) - (1 - y) * np.log(1 - p)).mean()
dp = (-y / p + (1 - y) / (1 - p)) / 6
assert scoreboard(("p = σ(f)", dp, p, cost), ("f", (p - y) / 6, f, lambda f: cost(sigmoid(f))))
assert np.allclose(pointwise_backward(1.0, pointwise_forward(f, y)[1]), (p - y) / 6)  # the package's line

# %% [markdown]
# ## The map: which file is which equation
# %%
MAP = """
u     | embedding   | lookup_forward bag_forward number_forward   | 03 04
(1)(2)| perceptron  | perceptron_forward                          | 05 06
(3)   | attention   | softmax_forward                             | 07
(4)(5)| attention   | attend_forward attention_forward            | 08 09
(6)   | feedforward | layer_norm_forward feed_forward_forward     | 10 11
(7)   | attention   | attention_forward, the targets ask          | 12
(8)   | ranking     | dot_forward pointwise_forward               | 13"""
print("equation  file in atrank_np/layers  forward passes, each beside its backward            lessons")
for line in MAP.strip().splitlines():
    equation, module, functions, numbers = (part.strip() for part in line.split("|"))
    print(f"{equation:9} {module + '.py':25} {functions:51} {numbers}")
    for function in functions.split(",")[0].split():
        assert hasattr(import_module(f"atrank_np.layers.{module}"), function.removesuffix("forward") + "backward")
    assert all(list(HERE.glob(f"{number}_*.py")) for number in numbers.split())
print("then: 14 the whole model backward, 15 descent, 16 what an AUC means, 17 speed, 18 the authors' code,")
print("19 to 21 the competitors, 22 Table 3, 23 groups, 24 tasks, 25 and 26 reading attention")
some = {name: trained.params[name].shape for name in ("table.kind", "F_M.items.W", "self.W")}
print(len(trained.params), "arrays of parameters by name, such as", some)

# %% [markdown]
# ## The picture
# %%
with figure("00_first_run", columns=2, size=(10, 3.8)) as (fig, axes):
    samples, loss, auc, se = (np.array(model.history_[name]) for name in ("samples", "loss", "test_auc", "test_auc_se"))
    axes[0].fill_between(samples, auc - se, auc + se, alpha=0.2, lw=0)
    axes[0].plot(samples, auc, "o-", label="ATRank, ± 1 standard error")
    lines = {
        "who knows each user's kind": ceiling,
        "sales alone": report["popularity_auc"],
        "histories swapped": report["swapped_history_auc"],
    }
    for (words, value), colour in zip(lines.items(), ("C2", "C1", "C3")):
        axes[0].axhline(value, color=colour, ls="--", lw=1.2, label=f"{words} {value:.2f}")
    axes[0].set(title="test AUC: climbs towards the ceiling", xlabel="training targets seen", ylim=(0.4, 1))
    axes[0].legend(loc="upper left", fontsize=8, ncols=2)
    axes[1].plot(samples, loss, "o-", label="mean loss since the point before")
    axes[1].axhline(np.log(2), color="0.5", ls="--", label="ln 2: knows nothing")
    axes[1].set(title="training loss (8)", xlabel="training targets seen")
    axes[1].legend(fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
constant, label, offsets = np.zeros(4), np.array([1, 0, 1, 0]), np.array([0, 2, 4])
print("1. all scores equal: AUC", user_auc(constant, label, offsets).mean, "; with >= it would be 1.0, with the paper's > 0.0")
assert user_auc(constant, label, offsets).mean == 0.5 and np.mean(constant[::2] >= constant[1::2]) == 1
assert np.mean(constant[::2] > constant[1::2]) == 0
two = np.array([1.0, 0, 11, 10])
pooled = auc_slow(two, label, "uuuu")
print("2. two users, each ranked right: user AUC", user_auc(two, label, offsets).mean, "; all targets in one pot:", pooled)
assert user_auc(two, label, offsets).mean == 1 and pooled == 0.75
error = report["test_auc_se"]
mine = report["test_auc"]
print(f"3. 'my {mine + 0.01:.3f} beats your {mine:.3f}': the standard error is {error:.3f}: two such numbers alone show nothing")
print("   (both rank the same users: compare user by user, lesson 22)")
assert error > 0.02

# %% [markdown]
# ## Your turn
#
# Turn scores into a recommendation: `python -m lessons.exercises check 00` (from the repository's root).
# %%
print("lesson 00 done: trained, ranked, and read the numbers: loss against ln 2, AUC against its controls")
