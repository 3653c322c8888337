# %% [markdown]
# # Lesson 00. First run, and the map
#
# *Before it: Python and NumPy. About 30 minutes; it trains three small models, which takes some seconds.*
#
# ATRank (Zhou et al., AAAI 2018) reads what a user did and says what they will do next. In this course you will compute all
# of it by hand: every equation, every derivative, and then the fast version. Today you only use it. You make a small log with
# a secret in it, see whether the model finds the secret, and learn to read the numbers that training prints. At the end
# stands a map: which equation is in which file and in which lesson.
#
# ## The idea, with small numbers
#
# A user has viewed three teas and a book. Which of two objects comes next, a tea or a lamp? The model gives each a **score**,
# any number, say 2.0 and 0.5. Only the order counts: the tea stands above the lamp. If it was indeed the tea, the model has
# ranked this user right.
#
# To judge a model, we take for each user the object that came next (the *positive*) and some that they never touched (the
# *negatives*), and count how often the positive has the higher score. A tie counts ½. Example: the positive has the score 2,
# two negatives have 0.5 and 2. It wins once and ties once: (1 + ½)/2 = 0.75. The mean over all users is the **AUC**: 1 is
# perfect, 0.5 is what guessing gets.
#
# ## The model in one line
#
# Numbers in brackets are the paper's equations:
#
# $$ u \to (1)\ S \to (2)\ S_k \to (3, 4, 5)\ C_k \to (6)\ C \to (7)\ e_t \to f = h_t \cdot e_t \to (8)\ \text{loss} $$
#
# Each behaviour becomes a row of numbers $u$; all rows come into one common space $S$ (1), and from there into $K$ latent
# spaces $S_k$ (2). In each space, attention lets every behaviour look at all others (3, 4, 5), and the results are joined
# (6). For an object $t$ that is to be ranked, a second attention collects what matters for it: $e_t$ (7). The score $f$ is a
# scalar product (to which the package adds a number per object: lesson 14), and the loss (8) says how wrong it was. Training
# moves every parameter a little against the derivative of the loss.

# %%
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np
from _common import HERE, figure

from atrank_np import ATRank, read_log
from atrank_np.datasets.protocol import Protocol
from atrank_np.evaluation.scoring import score
from atrank_np.layers.ranking import pointwise_forward
from atrank_np.metrics import user_auc

# %% [markdown]
# ## A log with a secret
#
# 300 made-up users and 40 objects of four kinds, ten of each. Each user likes one kind: 85 times of 100 they take an object
# of this kind, else one of any kind. Nobody tells the model which kind. A data set is a folder of CSV files: `events.csv`
# says who did what when, `items.csv` what is known of the objects, here their kind.
# %%
KINDS = ("tea", "book", "bike", "lamp")
USERS = 300
DAY = 86400  # seconds
rng = np.random.default_rng(0)
likes = rng.integers(4, size=USERS)  # the secret
events = ["user,object,time"]
for user in range(USERS):
    day = 0
    for _ in range(rng.integers(3, 10)):
        day += int(rng.integers(1, 20))
        kind = likes[user] if rng.random() < 0.85 else rng.integers(4)
        events.append(f"u{user},{KINDS[kind]}{rng.integers(10)},{day * DAY}")
items = ["object,kind"]
for kind in KINDS:
    for number in range(10):
        items.append(f"{kind}{number},{kind}")
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "events.csv").write_text("\n".join(events) + "\n")
    (folder / "items.csv").write_text("\n".join(items) + "\n")
    log = read_log(folder)
print(*events[:4], "…", sep="\n")
print(len(log.users), "users,", len(log.time), "events")

# %% [markdown]
# ## Train and rank
#
# A **step** is one update of all parameters. An **epoch** is once through all training samples. The **learning rate** says
# how far a step goes; it falls during training (lesson 15). `width` and `spaces` are $D$ and $K$. The other settings are the
# size of the first random numbers, for a model as small as this one. The backend `numpy` is the one to read; `numba`, the
# default, computes the same and is made for speed (lesson 17).
#
# Training begins with random numbers, and which numbers may matter. So we train three times, with the seeds 0, 1 and 2, and
# look at the first closely.
# %%
settings = dict(width=32, spaces=4, epochs=4, evaluations=6, learning_rate=1.0, decay=0.3, dense_init=0.18, table_init=0.2)
models = []
for seed in range(3):
    model = ATRank(backend="numpy", seed=seed, **settings)
    model.fit(log)
    models.append(model)
model = models[0]
history = model.history_
for i in range(len(history["step"])):
    line = f"step {history['step'][i]:3}  epoch {history['epoch'][i]:.1f}  learning rate {history['learning_rate'][i]:.2f}"
    print(f"{line}  loss {history['loss'][i]:.4f}  test AUC {history['test_auc'][i]:.3f} ± {history['test_auc_se'][i]:.3f}")

best, scores = model.recommend(log, users=["u7"], n=5)
past = log.catalogues["items"].objects[log.object[log.offsets[7] : log.offsets[8]]]
print("u7 did", past.tolist())
print("next?", [f"{thing} {value:.2f}" for thing, value in zip(best[0], scores[0])])
for trained in models:
    first = trained.recommend(log, users=["u7"], n=1)[0][0, 0]
    assert first.startswith(KINDS[likes[7]])  # each of the three has found what u7 likes

# %% [markdown]
# ## The loss
#
# For one object with the score $f$ the model says the chance $p = \sigma(f) = 1/(1 + e^{-f})$ that the user takes it. If they
# did ($y = 1$) the loss is $-\ln p$, else ($y = 0$) it is $-\ln(1 - p)$. A good guess costs little: $p = 0.9$ for what was
# taken costs 0.105. A bad one costs much: $p = 0.1$ costs 2.303. The column `loss` is the mean over the targets, equation
# (8).
#
# A model that knows nothing says ½ for everything. That costs $\ln 2 = 0.6931$, always. So **0.6931 is the mark for the
# loss**, as 0.5 is for the AUC. In the table above, the loss begins near this mark and falls.
# %%
nothing_known = np.zeros(6)  # scores of six targets
taken = np.array([1.0, 0, 1, 0, 0, 1])
loss, _ = pointwise_forward(nothing_known, taken)
print("the loss of a model that knows nothing:", round(float(loss), 4))
assert abs(loss - np.log(2)) < 1e-15


# %% [markdown]
# ## The AUC
#
# With the test users $U$, the positives $I_u^+$ and negatives $I_u^-$ of user $u$, and the score $p_{ui}$ of object $i$:
#
# $$ \mathrm{AUC} = \frac{1}{|U|} \sum_{u \in U} \frac{1}{|I_u^+||I_u^-|}
#    \sum_{i \in I_u^+} \sum_{j \in I_u^-} \delta(p_{ui} > p_{uj}) $$
#
# $\delta$ is 1 if its argument is true, else 0; where two scores are equal we count ½ (the paper's formula counts 0). The
# slow version goes through users and pairs. The package's `user_auc` takes all scores in one array and offsets that say where
# each user begins.
# %%
def auc_slow(scores, labels, users):
    of_users = []
    for user in sorted(set(users)):
        positives, negatives = [], []
        for value, label, owner in zip(scores, labels, users):
            if owner == user and label == 1:
                positives.append(value)
            if owner == user and label == 0:
                negatives.append(value)
        wins = 0.0
        for p in positives:
            for m in negatives:
                if p > m:
                    wins += 1
                elif p == m:
                    wins += 0.5
        of_users.append(wins / (len(positives) * len(negatives)))
    return sum(of_users) / len(of_users)


assert auc_slow([2, 0.5, 2], [1, 0, 0], ["ann", "ann", "ann"]) == 0.75
assert user_auc(np.array([2, 0.5, 2]), np.array([1, 0, 0]), np.array([0, 3])).mean == 0.75

# %% [markdown]
# Now the same for our trained model: the scores of the test users, one positive and one negative each.
# %%
protocol = Protocol(log, model.trained_.config)  # which events are ranked, and against what (lesson 01)
task = protocol.task
pairs = score(model.trained_.backend(), protocol, task)  # [users, 2]: the positive first, then its negative
users = np.repeat(np.arange(len(pairs)), 2)
labels = np.tile([1, 0], len(pairs))
reports = [trained.evaluate(log, at=()) for trained in models]
assert abs(auc_slow(pairs.ravel(), labels, users) - reports[0]["test_auc"]) < 1e-12

# %% [markdown]
# ## Is 0.82 good?
#
# A number alone says nothing. Four others stand beside it:
#
# * **± one standard error.** Only some 200 users are tested. With other users the number would differ by about this much.
# * **Popularity**: ranked by the number of sales alone. If this is nearly as good, the model has learned nothing about users.
# * **Swapped histories**: the model ranks each user by the history of *another* one. What is left above 0.5 does not come
#   from the history. It should fall to about 0.5, and it does.
# * **A ceiling.** We know the secret, so we can compute what the best ranking reaches: an object of the liked kind above all
#   others. With real data nobody knows it.
#
# (A user whose last object stands in their history already is not ranked; lesson 16 says why.)
# %%
kind_of_row = (np.arange(41) - 1) // 10  # row 0 is `unknown`; rows 1 to 10 are tea, and so on
is_liked = kind_of_row[task.candidates] == likes[task.samples.user][:, None]
ceiling = auc_slow(is_liked.ravel(), labels, users)
print("seed   test AUC   standard error   popularity   swapped histories")
for seed, report in enumerate(reports):
    numbers = f"{report['test_auc']:.3f}      {report['test_auc_se']:.3f}            {report['popularity_auc']:.3f}"
    print(f"{seed}      {numbers}        {report['swapped_history_auc']:.3f}")
    assert report["test_auc"] > 0.7
    assert report["test_auc"] < ceiling + 2 * report["test_auc_se"]
    assert report["swapped_history_auc"] < 0.6
    assert report["popularity_auc"] < 0.6
print(f"who knows the secret: {ceiling:.3f}")

# %% [markdown]
# ## The picture
#
# Left: the test AUC climbs towards the ceiling (the band is one standard error), and the two controls are far below. Right:
# the loss falls from $\ln 2$. All of it is one run, with seed 0.
# %%
with figure("00_first_run", columns=2, size=(10.5, 4)) as (fig, axes):
    samples, loss, auc, error = (np.array(history[name]) for name in ("samples", "loss", "test_auc", "test_auc_se"))
    axes[0].fill_between(samples, auc - error, auc + error, alpha=0.2, lw=0)
    axes[0].plot(samples, auc, "o-", label="ATRank, ± 1 standard error")
    lines = (
        ("who knows the secret", ceiling, "C2"),
        ("popularity", reports[0]["popularity_auc"], "C1"),
        ("histories swapped", reports[0]["swapped_history_auc"], "C3"),
    )
    for words, value, colour in lines:
        axes[0].axhline(value, color=colour, ls="--", lw=1.2, label=f"{words}: {value:.2f}")
    axes[0].set(
        title="test AUC, and what to compare it with", xlabel="training targets seen", ylabel="test AUC", ylim=(0.4, 1.06)
    )
    axes[0].legend(loc="upper left", fontsize=8, ncols=2)
    axes[1].plot(samples, loss, "o-", label="mean loss since the point before")
    axes[1].axhline(np.log(2), color="0.5", ls="--", label="ln 2: nothing is known")
    axes[1].set(title="training loss (8)", xlabel="training targets seen", ylabel="loss")
    axes[1].legend(fontsize=8)

# %% [markdown]
# ## The map: which file is which equation
#
# All layers are in `atrank_np/layers`. Each function `…_forward` computes an equation, and the function `…_backward` beside
# it the derivatives. Lessons 03 to 13 take them one by one; to understand the derivatives at all, begin with lesson 02. Then
# come: 14 the whole model backward, 15 descent, 16 what an AUC means, 17 speed, 18 the authors' own code, 19 to 21 the
# competitors, 22 the paper's table 3, 23 and 24 groups and tasks, 25 and 26 reading attention, 27 losses with many negatives,
# 28 Adam and Adagrad. If you want only attention, read 02, 07, 08 and 09.
# %%
MAP = (  # equation, file, functions, lessons
    ("u", "embedding", "lookup_forward bag_forward number_forward", "03 04"),
    ("(1) (2)", "perceptron", "perceptron_forward", "05 06"),
    ("(3)", "attention", "softmax_forward", "07"),
    ("(4) (5)", "attention", "attend_forward attention_forward", "08 09"),
    ("(6)", "feedforward", "layer_norm_forward feed_forward_forward", "10 11"),
    ("(7)", "attention", "attention_forward", "12"),
    ("(8)", "ranking", "dot_forward pointwise_forward", "13"),
)
print("equation  file            functions                                  lessons")
for equation, module, functions, lessons in MAP:
    print(f"{equation:9} {module + '.py':15} {functions:42} {lessons}")
    layer = import_module(f"atrank_np.layers.{module}")
    for function in functions.split():
        assert hasattr(layer, function)
        assert hasattr(layer, function.removesuffix("forward") + "backward")  # each beside its derivative
    for number in lessons.split():
        assert list(HERE.glob(f"{number}_*.py"))
parameters = model.trained_.params
print(len(parameters), "arrays of parameters by name, such as:")
for name in ("table.kind", "F_M.items.W", "self.W"):
    print(f"  {name:12} {parameters[name].shape}")

# %% [markdown]
# ## What people get wrong
#
# 1. **Ties.** If a broken model gives the same score to everything, its AUC must be 0.5. With $\ge$ in the formula it would
#    be 1, with $>$ alone it would be 0.
# 2. **One AUC over all users together.** Then a score of one user is compared with scores of another, which nobody asked for.
#    Two users, each ranked right, can have 0.75 together.
# 3. **"My 0.83 beats your 0.82."** With a standard error of 0.03 such a difference shows nothing. (If both rank the same
#    users there is a sharper way: lesson 22.) And the seeds above differ too.
# %%
same = np.zeros(4)
label = np.array([1, 0, 1, 0])
offsets = np.array([0, 2, 4])  # two users, a positive and a negative each
print("1. all scores equal:", user_auc(same, label, offsets).mean, "; with >= 1.0, with > alone 0.0")
assert user_auc(same, label, offsets).mean == 0.5
assert np.mean(same[::2] >= same[1::2]) == 1
assert np.mean(same[::2] > same[1::2]) == 0

two_users = np.array([1.0, 0, 11, 10])
together = auc_slow(two_users, label, ["all"] * 4)
print("2. user by user:", user_auc(two_users, label, offsets).mean, "; all together:", together)
assert user_auc(two_users, label, offsets).mean == 1
assert together == 0.75

of_seeds = [report["test_auc"] for report in reports]
print(f"3. three seeds: {min(of_seeds):.3f} to {max(of_seeds):.3f}; standard error {reports[0]['test_auc_se']:.3f}")
assert reports[0]["test_auc_se"] > 0.02

# %% [markdown]
# ## Your turn
#
# From scores to a recommendation, and another measure of a ranking: `python -m lessons.exercises check 00` (from the
# repository's root).
# %%
print("lesson 00 done: trained, ranked, and read the numbers: loss against ln 2, AUC against its controls")
