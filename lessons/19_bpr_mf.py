# %% [markdown]
# # Lesson 19. BPR-MF: a user is a row of a table
#
# *Before it: lessons 03 (tables, and gradients of repeated ids), 13 (the pair-wise loss) and 16 (AUC). About 40 minutes.*
#
# The simplest competitor in the paper's Table 3 reads no history. It has one table with a row for each user, one with a row
# for each object, and multiplies the two. Its name is from Rendle et al. (2009): Bayesian personalised ranking with matrix
# factorisation.
#
# ## The idea with one triple
#
# Let rows have two numbers. Ann's row is $u = (1, 2)$. She took object $i = (2, 0)$ and never touched object $j = (0, 2)$. The
# scores are $u \cdot i = 2$ and $u \cdot j = 4$: the wrong order. The margin is $x = 2 - 4 = -2$.
#
# The loss of lesson 13, $-\log \sigma(x)$, pulls with the force $\sigma(-x) = \sigma(2) = 0.88$. Ann's row moves towards
# $i - j = (2, -2)$; object $i$ moves towards Ann's row, object $j$ away from it. Had the margin been $+2$, the force would be
# 0.12. A pair whose order is right is nearly left alone.
#
# ## The equation
#
# User $u$ is a row, object $i$ is its item embedding beside its category's embedding, and $b_i$ is a bias of the object:
#
# $$ f_{ui} = u \cdot i + b_i \qquad x_{uij} = f_{ui} - f_{uj} = u \cdot (i - j) + b_i - b_j \qquad
#    L = -\frac1X \sum_{(u, i, j)} \log \sigma(x_{uij}) $$
#
# The sum is over $X$ **triples**: $u$ took $i$, and $j$ was drawn from what they never touched.
#
# ## What the signs mean
#
# * $dZ$ (in code `dZ`) is the derivative of $L$ by $Z$. It has the shape of $Z$: $dZ_{ij} = \partial L/\partial Z_{ij}$.
# * $\sigma(x) = 1/(1 + e^{-x})$, its slope is $\sigma(x)\,\sigma(-x)$. $\mathrm{softplus}(x) = \log(1 + e^x)$, and
#   $-\log\sigma(x) = \mathrm{softplus}(-x)$.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard`
#   takes rows of four: a name, our gradient, its array, and the rest of the computation as a function of this array, up to
#   $L$. It moves each entry by a little and says whether our gradient agrees. (Here $L$ is a real loss; no random upstream is
#   needed.)

# %%
import math
import tempfile

import numpy as np
from _common import figure, scoreboard

from atrank_np import read_log
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.shop import write
from atrank_np.datasets.shop_ceiling import ceiling
from atrank_np.datasets.shop_world import make_world
from atrank_np.gradcheck import dense, random_batch, relative_error
from atrank_np.layers.ranking import pairs_of, pairwise_backward, pairwise_forward, sigmoid, softplus
from atrank_np.metrics import auc
from atrank_np.models.bpr_mf import BPRMF
from atrank_np.models.common_space import CommonSpace, FeatureColumn, GroupSpace
from atrank_np.training import fit

# %% [markdown]
# ## The slow version, symbol by symbol
# %%
rng = np.random.default_rng(19)
A, M, E = 4, 7, 3  # users, objects, width of a feature; row 0 is `unknown` everywhere
category_of = np.array([0, 1, 2, 1, 3, 3, 2])
user, item = rng.standard_normal((A, 2 * E)), rng.standard_normal((M, E))
category, bias = rng.standard_normal((4, E)), rng.standard_normal(M)
triples = [(1, 2, 5), (1, 4, 5), (3, 5, 1), (2, 6, 2), (3, 1, 6)]  # 5 is a negative twice and a positive once


def f_slow(u, i):
    f = bias[i]
    for k in range(E):
        f += user[u, k] * item[i, k]
        f += user[u, E + k] * category[category_of[i], k]
    return f


def loss_slow(_=None):  # the scoreboard moves one of the tables in place, so its argument is not needed
    total = 0.0
    for u, i, j in triples:
        x = f_slow(u, i) - f_slow(u, j)
        total -= math.log(1 / (1 + math.exp(-x)))
    return total / len(triples)


# %% [markdown]
# ## Forward, a row for each triple
#
# Every line has a number, F1 to F4. In the backward pass B4 is the step back through F4, and so on.
# %%
u, i, j = np.array(triples).T
X = len(triples)
emb = np.concatenate([item, category[category_of]], axis=1)  # [M, 2E], a row for each object
p = user[u]  # F1 [X, 2E]
a, c = emb[i], emb[j]  # F2 the objects taken, and the negatives
x = (p * (a - c)).sum(1) + bias[i] - bias[j]  # F3 [X]
loss = softplus(-x).mean()  # F4
assert math.isclose(loss, loss_slow())

# %% [markdown]
# ## Backward, one rule at a time
#
# **B4.** softplus' is $\sigma$, the inner derivative is $-1$, and the mean divides by $X$. This is the pull on a triple:
#
# $$ dx_t = -\sigma(-x_t)/X $$
# %%
dx = -sigmoid(-x) / X


def loss_from_x(x):
    return softplus(-x).mean()


assert scoreboard(("x", dx, x, loss_from_x))

# %% [markdown]
# **B3.** $x_t = \sum_k p_{tk} (a_{tk} - c_{tk}) + b_{i_t} - b_{j_t}$. Each factor gets $dx$ times the other factor; $c$
# stands behind a minus:
#
# $$ dp_{tk} = dx_t\,(a_{tk} - c_{tk}) \qquad da_{tk} = dx_t\, p_{tk} \qquad dc_{tk} = -dx_t\, p_{tk} $$
# %%
dp = dx[:, None] * (a - c)
da = dx[:, None] * p
dc = -dx[:, None] * p


def loss_from_rows(p, a, c):
    return loss_from_x((p * (a - c)).sum(1) + bias[i] - bias[j])


assert scoreboard(
    ("p", dp, p, lambda p: loss_from_rows(p, a, c)),
    ("a", da, a, lambda a: loss_from_rows(p, a, c)),
    ("c", dc, c, lambda c: loss_from_rows(p, a, c)),
)

# %% [markdown]
# **B2, B1.** Rows of $p$, $a$, $c$ were looked up in tables, and a table row may be looked up several times. Its gradient is
# the sum (lesson 03). Note that ONE table serves both sides: object 5 is pulled up in a triple and pushed down in two others.
#
# $$ duser_v = \sum_{t:\,u_t = v} dp_t \qquad demb_o = \sum_{t:\,i_t = o} da_t + \sum_{t:\,j_t = o} dc_t \qquad
#    db_o = \sum_{t:\,i_t = o} dx_t - \sum_{t:\,j_t = o} dx_t $$
# %%
duser, demb, dbias = np.zeros_like(user), np.zeros_like(emb), np.zeros_like(bias)
np.add.at(duser, u, dp)
np.add.at(demb, i, da)
np.add.at(demb, j, dc)
np.add.at(dbias, i, dx)
np.add.at(dbias, j, -dx)
ditem = demb[:, :E]
dcategory = np.zeros_like(category)
np.add.at(dcategory, category_of, demb[:, E:])  # objects of a category share its row
assert scoreboard(
    ("user", duser, user, loss_slow),
    ("item", ditem, item, loss_slow),
    ("category", dcategory, category, loss_slow),
    ("bias", dbias, bias, loss_slow),
)

# %% [markdown]
# Collapsed, with $g = dx$: $du = g\,(i - j)$, $di = g\,u$, $dj = -g\,u$, $db_i = g$, $db_j = -g$. Nothing else is touched, so
# a step costs three rows a triple, whatever the size of the shop.
#
# ## The package's version
#
# `BPRMF` scores targets, as every model of the package does: $f = u \cdot i + b_i$. The pair-wise loss makes the margins.
# %%
columns = (
    FeatureColumn("object", "id", "item", E, np.arange(M)),
    FeatureColumn("kind", "categorical", "kind", E, category_of),
)
group = GroupSpace("items", columns, 2 * E, 4, 0, M)
model = BPRMF(CommonSpace([group], 2 * E, 1, {"item": M, "kind": 4}, item_bias=True), A)
params = {"table.user/items": user, "table.item": item, "table.kind": category, "bias.items": bias}
batch = random_batch(rng, [group], [2] * X, [2] * X)  # two targets for each triple
batch = batch._replace(user=u, target_object=np.stack([i, j], axis=1).ravel())
f, cache = model.forward(params, batch)
pairs = pairs_of(batch.label, batch.target_offsets)
package_loss, loss_cache = pairwise_forward(f, *pairs)
gradients = model.backward(pairwise_backward(1.0, loss_cache), cache)
assert math.isclose(package_loss, loss)
for name, ours in zip(params, (duser, ditem, dcategory, dbias)):
    package = dense(gradients[name], ours.shape)
    assert relative_error(package[1:], ours[1:]) < 1e-13  # row 0 is never trained

# %% [markdown]
# ## Why pairs
#
# A point-wise loss asks: was object $i$ taken, yes or no? For that it must know how often anything is taken at all. A list
# needs less: only the order. The pair-wise loss asks only for the order, and a number that is added to all scores of a user
# changes nothing.
#
# It also fits the test. The AUC counts the same triples, by $\delta(x > 0)$ (lesson 16). That has no slope. $-\log \sigma(x)$
# has one everywhere and lies above it: $\delta(x \le 0) \le -\log \sigma(x)/\ln 2$. The picture below shows both.
#
# The name's "Bayesian" stands for one more thing. Rendle et al. ask for the most probable parameters, given the triples, and
# take a normal distribution around 0 as what is believed before. The logarithm of that is a sum of squares: the L2 term of
# lesson 15.
#
# In the paper's Table 3, BPR-MF has 0.7982 on Electronics, where ATRank has 0.8921. It is by far the fastest: a step reads
# and writes three rows, and no history. So it is a good first thing to try on a new log, and a number that a slower model
# must beat.
#
# ## What a bias learns: popularity
#
# Forget the users, keep the biases alone. Object $i$ was taken $n_i$ times, and negatives are drawn uniformly. In how many
# pairs does $i$ stand above $j$? In proportion to $n_i$. Below it? In proportion to $n_j$. Descent rests where
# $\sigma(b_i - b_j)$ is the share of the first, $n_i/(n_i + n_j)$. That holds for all pairs at once if
#
# $$ b_i = \ln n_i \qquad\text{since}\qquad \sigma(\ln n_i - \ln n_j) = \frac{1}{1 + n_j/n_i} = \frac{n_i}{n_i + n_j} $$
#
# With $n = (1, 3)$: $b = (0, \ln 3)$ and $\sigma(\ln 3) = ¾$. If negatives are drawn in proportion to $n$ instead, both
# counts are $n_i n_j$, and $b$ stays 0. So the **negatives** decide whether popularity is worth anything. (Lesson 27 corrects
# for the draw.)
# %%
n = np.array([1, 3, 2, 4])


def pull_on_biases(b, drawn):  # the gradient, where object j is a negative drawn[j] times for each positive
    up, down = [], []
    for i in range(4):
        for j in range(4):
            up += [i] * (n[i] * drawn[j])
            down += [j] * (n[i] * drawn[j])
    return pairwise_backward(1.0, pairwise_forward(b, np.array(up), np.array(down))[1])


for words, drawn, at_rest in (("uniform", [1, 1, 1, 1], np.log(n)), ("popular", n, np.zeros(4))):
    pull = pull_on_biases(at_rest, drawn)
    print(f"{words} negatives: at biases {at_rest.round(2)} the gradient is {np.abs(pull).max():.0e}")
    assert np.abs(pull).max() < 1e-15

# %% [markdown]
# ## What it can and cannot do: the simulated shop
#
# We train it on a shop of 1,200 users and compare it with the ceiling (lesson 16), with popularity, and with itself for users
# whom it does not know. A user who was not in training has row 0, zeros: all that is left of the score is the bias.
# %%
with tempfile.TemporaryDirectory() as folder:
    world = make_world(0)
    write(world, 1200, folder)
    log = read_log(folder)
parts = Protocol(log)
SEEDS = (0, 1, 2)
SETTINGS = dict(epochs=6, batch_size=128, learning_rate=4.0, evaluations=1, backend="numpy")
models = [fit(log, model="bpr_mf", seed=seed, **SETTINGS).trained for seed in SEEDS]
samples, candidates = parts.task.samples, parts.task.candidates


def scores_of(batch, trained=models[0]):
    f, _ = trained.model().forward(trained.params, batch, trained.table_scale)
    return f.reshape(len(batch.user), -1)


batch = pack(log.schema, parts.events, samples, candidates)
WHO = {
    "BPR-MF": batch.user,
    "BPR-MF, unknown user": np.zeros_like(batch.user),
    "BPR-MF, another's row": np.roll(batch.user, -1),
}
rows = {
    "the best possible": auc(ceiling(world, log, samples.user, samples.time, samples.group, candidates)),
    "popularity": auc(parts.popularity[0][candidates]),
}
best, popular = rows["the best possible"].mean, rows["popularity"].mean
by_seed = {}
for name, users in WHO.items():
    found = [auc(scores_of(batch._replace(user=users), trained)) for trained in models]
    rows[name], by_seed[name] = found[0], np.array([row.mean for row in found])
    print(f"{name:22} AUC of three seeds {by_seed[name].round(3)}")
print(f"the best possible {best:.3f}, popularity {popular:.3f}, one standard error {rows['popularity'].se:.3f}")
known, unknown, other = by_seed.values()
assert (known < best - 0.05).all() and (known > unknown + 0.1).all() and (other < unknown).all()
assert (np.abs(unknown - popular) < 3 * rows["popularity"].se).all()

# %% [markdown]
# A user's row knows what they like, from few events: the AUC is far above popularity. It is far below the ceiling too, and
# the next section says why. For an unknown user it is as good as popularity, as derived. Another person's row is worse than
# none, with each seed.
#
# **It does not know time or order.** It has one answer for a user's whole life. The best possible ranking changes with what
# was just searched. We rank the same ten candidates for 50 users, at their first sample and at the last:
# %%
chosen = np.flatnonzero(np.isin(samples.user, parts.train.user))[:50]
late = samples.take(chosen)
early = parts.train.take(np.searchsorted(parts.train.user, late.user))
ten = np.tile(np.arange(1, 11), (50, 1))
scores_early, scores_late = (scores_of(pack(log.schema, parts.events, moment, ten)) for moment in (early, late))
best_early, best_late = (ceiling(world, log, m.user, m.time, m.group, ten).argsort(1) for m in (early, late))
changed = (best_early != best_late).any(1).sum()
print(f"the order of ten candidates changed: BPR-MF for 0 users, the best possible for {changed} of 50")
assert (scores_early == scores_late).all() and changed > 25

# %% [markdown]
# ## The picture
#
# Left: the step that the AUC counts, the loss above it, and the pull, which fades where the order is right. Middle: the
# biases after 6 epochs beside $\ln n$. They are on their way to it (the other parameters learn popularity too). Right: a row
# is as good as the events that trained it. The best possible score reads the history instead.
# %%
times_chosen, learned = 1 + parts.popularity[0][1:], models[0].params["bias.items"][1:]
alike = np.corrcoef(learned, np.log(times_chosen))[0, 1]
assert alike > 0.7
trained_on = np.bincount(parts.train.user, minlength=len(log.users))[samples.user]
bins = {"0": (0, 0), "1-3": (1, 3), "4-7": (4, 7), "8 or more": (8, 999)}
with figure("19_bpr_mf", columns=3, size=(13.5, 4.2)) as (fig, axes):
    margin = np.linspace(-4, 4, 401)
    axes[0].plot(margin, margin <= 0, "k-", label="1 if lost, else 0: the AUC counts this")
    axes[0].plot(margin, softplus(-margin) / np.log(2), "C0-", label="the loss, −log σ(x) / ln 2")
    axes[0].plot(margin, sigmoid(-margin), "C3--", label="the pull, σ(−x)")
    axes[0].set(title="step, loss and pull", xlabel="margin x = f_i − f_j", ylim=(-0.1, 6))
    axes[0].legend(fontsize=8, loc="upper right")
    axes[1].scatter(np.log(times_chosen), learned, s=8)
    axes[1].axline((np.log(times_chosen).mean(), 0), slope=1, color="C3", label="ln n + constant: a bias alone, at rest")
    axes[1].set(title=f"{len(learned)} learned biases, correlation {alike:.2f}", xlabel="ln(1 + times chosen)", ylabel="bias")
    axes[1].legend(fontsize=8, loc="upper left")
    for shift, (name, colour) in zip((-0.27, 0, 0.27), (("the best possible", "C2"), ("BPR-MF", "C0"), ("popularity", "0.6"))):
        groups = [rows[name].each[(trained_on >= low) & (trained_on <= high)] for low, high in bins.values()]
        means, errors = [g.mean() for g in groups], [2 * g.std() / np.sqrt(len(g)) for g in groups]
        axes[2].bar(np.arange(len(bins)) + shift, means, 0.25, yerr=errors, color=colour, label=name, capsize=2)
    axes[2].set_xticks(range(len(bins)), bins)
    axes[2].set(title="AUC ± 2 standard errors", xlabel="training samples of the user", ylabel="AUC", ylim=(0.4, 1.15))
    axes[2].legend(fontsize=8, loc="upper center", ncols=3)

# %% [markdown]
# ## What people get wrong
#
# 1. **`=` or `+=` with repeated rows.** Then one triple of each row is kept and the others are lost.
# 2. **A bias for each user.** It stands in $f_{ui}$ and in $f_{uj}$, so it falls out of every margin. It has no gradient.
# 3. **A random row for an unknown user**, or the row of somebody else. Zeros are better (above).
# %%
lost = np.zeros_like(demb)
lost[i] = da
lost[j] = dc
print(f"1. repeated rows lost: error {relative_error(lost, demb):.2f}")
with_user_bias = f + np.repeat(rng.standard_normal(A)[u], 2)
change = abs(pairwise_forward(with_user_bias, *pairs)[0] - loss)
print(f"2. a bias per user changes the loss by {change:.0e}")
print(f"3. another's row {other.round(3)}, zeros {unknown.round(3)}")
assert relative_error(lost, demb) > 0.1 and change < 1e-14

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 19` (from the repository's root): the gradient of triples; what a bias learns from its
# negatives; and another loss for the same triples, where a distance takes the place of the product.
# %%
print("lesson 19 done: a triple pulls three rows with σ(-x); uniform negatives teach popularity; a new user is a row of zeros")
