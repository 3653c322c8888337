# %% [markdown]
# # Lesson 19. BPR-MF: a user is a row of a table
#
# *Before it: lessons 03 (tables and scatter-add), 13 (the pair-wise loss) and 16 (AUC). About 25 minutes.*
#
# The simplest competitor in the paper's Table 3 (Rendle et al., UAI 2009) reads no history. User $u$ is a vector, object $i$ is
# its item embedding beside its category's, and a pair of objects is judged by one number:
#
# $$ f_{ui} = u \cdot i + b_i \qquad x_{uij} = f_{ui} - f_{uj} = u \cdot (i - j) + b_i - b_j $$
# $$ L = -\frac1X \sum_{(u, i, j)} \log \sigma(x_{uij}) $$
#
# The sum is over **triples**: $u$ chose $i$, and $j$ is drawn from what they never touched. (Rendle's prior is lesson 15's L2.)

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
A, M, E = 4, 7, 3  # users, items, width of a feature; row 0 is `unknown` everywhere
category_of = np.array([0, 1, 2, 1, 3, 3, 2])
user, item = rng.standard_normal((A, 2 * E)), rng.standard_normal((M, E))
category, bias = rng.standard_normal((4, E)), rng.standard_normal(M)
triples = [(1, 2, 5), (1, 4, 5), (3, 5, 1), (2, 6, 2), (3, 1, 6)]  # 5 is a negative twice and a positive once


def f_slow(u, i):
    f = bias[i]
    for k in range(E):
        f += user[u, k] * item[i, k] + user[u, E + k] * category[category_of[i], k]
    return f


loss_slow = lambda: -sum(math.log(1 / (1 + math.exp(f_slow(u, j) - f_slow(u, i)))) for u, i, j in triples) / len(triples)

# %% [markdown]
# ## The gradient in atoms: forward, a row for each triple; then backward, from the last line to the first
# %%
(u, i, j), X = np.array(triples).T, len(triples)
emb = np.concatenate([item, category[category_of]], axis=1)
p = user[u]  # F1
a, c = emb[i], emb[j]  # F2: chosen, and not
x = (p * (a - c)).sum(1) + bias[i] - bias[j]  # F3
s = sigmoid(x)  # F4
L = -np.log(s).mean()  # F5
assert math.isclose(L, loss_slow())

ds = -1 / s / X  # B5
dx = ds * s * (1 - s)  # B4; with B5 it is -σ(-x)/X: a pair in the wrong order pulls with 1/X, a settled one with 0
dp, da, dc = dx[:, None] * (a - c), dx[:, None] * p, -dx[:, None] * p  # B3
duser, dbias, demb = np.zeros_like(user), np.zeros_like(bias), np.zeros((M, 2 * E))
np.add.at(duser, u, dp)  # B1: user 1 stands in two triples
for o, d, sign in ((i, da, 1), (j, dc, -1)):  # B2: ONE table serves both; item 5 is chosen here and refused there
    np.add.at(demb, o, d)
    np.add.at(dbias, o, sign * dx)
ditem, dcategory = demb[:, :E], np.zeros_like(category)
np.add.at(dcategory, category_of, demb[:, E:])  # items of a category share a row
rest = lambda p, a, c: softplus(-((p * (a - c)).sum(1) + bias[i] - bias[j])).mean()
whole = lambda _: loss_slow()
assert scoreboard(
    *[("s = σ(x)", ds, s, lambda s: -np.log(s).mean()), ("x", dx, x, lambda x: softplus(-x).mean())],
    *[("u", dp, p, lambda p: rest(p, a, c)), ("i", da, a, lambda a: rest(p, a, c)), ("j", dc, c, lambda c: rest(p, a, c))],
    *[("user", duser, user, whole), ("item", ditem, item, whole)],
    *[("category", dcategory, category, whole), ("bias", dbias, bias, whole)],
)

# %% [markdown]
# ## Collapsed, and the package
#
# $$ g = -\tfrac1X\,\sigma(-x) \qquad du = g\,(i - j) \qquad di = g\,u \qquad dj = -g\,u \qquad db_i = g \qquad db_j = -g $$
#
# `BPRMF` scores targets like every model, $f = u \cdot i + b_i$; the pair-wise loss of lesson 13 makes the margins.
# %%
columns = FeatureColumn("object", "id", "item", E, np.arange(M)), FeatureColumn("kind", "categorical", "kind", E, category_of)
group = GroupSpace("items", columns, 2 * E, 4, 0, M)
model = BPRMF(CommonSpace([group], 2 * E, 1, {"item": M, "kind": 4}, item_bias=True), A)
params = {"table.user/items": user, "table.item": item, "table.kind": category, "bias.items": bias}
batch = random_batch(rng, [group], [2] * X, [2] * X)._replace(user=u, target_object=np.stack([i, j], 1).ravel())
f, cache = model.forward(params, batch)
loss, loss_cache = pairwise_forward(f, *(pairs := pairs_of(batch.label, batch.target_offsets)))
gradients = model.backward(pairwise_backward(1.0, loss_cache), cache)
assert model.shapes() == {name: w.shape for name, w in params.items()} and math.isclose(loss, L)
for name, ours in zip(params, (duser, ditem, dcategory, dbias)):
    assert relative_error(dense(gradients[name], ours.shape)[1:], ours[1:]) < 1e-13  # row 0 is never trained

# %% [markdown]
# ## Why pairs: the AUC counts $\delta(x_{uij} > 0)$ over the same triples
#
# It has no slope (lesson 16). $\log\sigma$ has one everywhere, and bounds it: $\delta(x \le 0) \le -\log\sigma(x) / \ln 2$.
#
# ## What a bias learns: popularity, exactly
#
# Forget $u$. Object $i$ was chosen $n_i$ times, and negatives are uniform. Then $i$ beats $j$ in proportion to $n_i$, and is
# beaten in proportion to $n_j$. Descent rests where $\sigma(b_i - b_j) = n_i / (n_i + n_j)$, for all pairs at once at
# **$b_i = \ln n_i$**. With a pencil: $n = (1, 3)$, $b = (0, \ln 3)$, $\sigma(\ln 3) = ¾ = 3/(1+3)$.
#
# If $j$ is drawn as often as it is chosen, both weigh $n_i n_j$, and $b$ stays 0. So the **negatives** decide whether popularity
# is worth anything, in training as in the test (lesson 22).
# %%
n = np.array([1, 3, 2, 4])
duels = lambda drawn: [(i, j) for i in range(4) for j in range(4) for _ in range(n[i] * drawn[j])]
for words, drawn, rest_at in (("uniform", [1, 1, 1, 1], np.log(n)), ("popular", n, np.zeros(4))):
    pull = pairwise_backward(1.0, pairwise_forward(rest_at, *np.array(duels(drawn)).T)[1])
    print(f"{words} negatives: bias {rest_at.round(2)}, its gradient {np.abs(pull).max():.0e}")
    assert np.abs(pull).max() < 1e-16

# %% [markdown]
# ## What it cannot know: new users. On the shop, who was not in training is row 0, zeros; their scores are the biases
# %%
with tempfile.TemporaryDirectory() as folder:
    world = make_world(0)
    write(world, 1200, folder)
    log = read_log(folder)
parts = Protocol(log)
run = fit(log, model="bpr_mf", epochs=6, batch_size=128, learning_rate=4.0, evaluations=1, backend="numpy")
trained, net, task = run.trained, run.trained.model(), parts.task
samples, candidates = task.samples, task.candidates
scores = lambda batch: net.forward(trained.params, batch, trained.table_scale)[0].reshape(len(batch.user), -1)
batch = pack(log.schema, parts.events, samples, candidates)
rows = {"the best possible": auc(ceiling(world, log, samples.user, samples.time, samples.group, candidates))}
rows |= {"BPR-MF": auc(scores(batch)), "BPR-MF, row 0": auc(scores(batch._replace(user=np.zeros_like(batch.user))))}
rows["popularity"] = auc(parts.popularity[0][candidates])
for name, row in rows.items():
    print(f"{name:18} AUC {row.mean:.3f} ± {row.se:.3f}")
best, mine, nobody, popular = (row.mean for row in rows.values())
assert best > mine > nobody + 0.1 and abs(nobody - popular) < 3 * rows["popularity"].se

# %% [markdown]
# **Time and order.** It has one answer for a whole life; the best possible answer moves with what was just searched.
# %%
some = samples.take(np.flatnonzero(np.isin(samples.user, parts.train.user))[:50])
moments = parts.train.take(np.searchsorted(parts.train.user, some.user)), some  # of 50 users the first, and the tested one
ten = np.tile(np.arange(1, 11), (50, 1))  # the same ten candidates at both
early, late = (scores(pack(log.schema, parts.events, m, ten)) for m in moments)
orders = [ceiling(world, log, m.user, m.time, m.group, ten).argsort(1) for m in moments]
print("order of ten candidates changed: BPR-MF 0, the best possible", (orders[0] != orders[1]).any(1).sum(), "of 50 users")
assert (early == late).all()

# %% [markdown]
# ## The picture
#
# Left: the step that the AUC counts, and the roof over it; its slope fades where a pair is settled. Middle: 6 epochs bring the
# biases half the way. Right: a row is as good as the choices that trained it; who reads the history needs none.
# %%
times_chosen, learned = 1 + parts.popularity[0][1:], trained.params["bias.items"][1:]
alike = np.corrcoef(learned, np.log(times_chosen))[0, 1]
trained_on = np.bincount(parts.train.user, minlength=len(log.users))[samples.user]
bins = {"0": (0, 0), "1-3": (1, 3), "4-7": (4, 7), "8 or more": (8, 999)}
with figure("19_bpr_mf", columns=3, size=(13, 3.9)) as (fig, axes):
    margin = np.linspace(-4, 4, 401)
    curves = {"lost or not: 1 − AUC counts this": margin <= 0, "−log σ(x) / ln 2": softplus(-margin) / np.log(2)}
    curves["pull on u, i, j: σ(−x)"] = sigmoid(-margin)
    for (words, curve), style in zip(curves.items(), ("k-", "C0-", "C3--")):
        axes[0].plot(margin, curve, style, label=words)
    axes[0].set(title="the AUC with round corners", xlabel="margin x = f_i − f_j", ylim=(-0.1, 4))
    axes[1].scatter(np.log(times_chosen), learned, s=8)
    axes[1].axline((np.log(times_chosen).mean(), 0), slope=1, color="C3", label="ln n + constant: a bias alone, at rest")
    axes[1].set(title=f"320 learned biases, r = {alike:.2f}", xlabel="ln(1 + times chosen)", ylabel="bias")
    for shift, (name, colour) in zip((-0.27, 0, 0.27), (("the best possible", "C2"), ("BPR-MF", "C0"), ("popularity", "0.6"))):
        groups = [rows[name].each[(trained_on >= low) & (trained_on <= high)] for low, high in bins.values()]
        means, errors = [g.mean() for g in groups], [2 * g.std() / np.sqrt(len(g)) for g in groups]
        axes[2].bar(np.arange(len(bins)) + shift, means, 0.25, yerr=errors, color=colour, label=name, capsize=2)
    axes[2].set_xticks(range(len(bins)), bins)
    axes[2].set(title="AUC ± 2 standard errors", xlabel="training samples of the user", ylim=(0.4, 1.15))
    for ax, place, columns in zip(axes, ("upper right", "upper left", "upper center"), (1, 1, 3)):
        ax.legend(fontsize=8, loc=place, ncols=columns)

# %% [markdown]
# ## What people get wrong
# %%
lost = np.zeros_like(demb)
lost[i], lost[j] = da, dc  # 1. `=`, though a row stands in several triples
print(f"1. the last triple of a row is heard alone: error {relative_error(lost, demb):.2f}")
change = pairwise_forward(f + np.repeat(rng.standard_normal(A)[u], 2), *pairs)[0] - L  # 2. a bias per user
print(f"2. a bias per user changes the loss by {abs(change):.0e}: no gradient, and scores of two users do not compare")
other = auc(scores(batch._replace(user=np.roll(batch.user, -1))))  # 3. somebody's row for a new user
print(f"3. the row of somebody else: {other.mean:.3f}; zeros: {nobody:.3f}. A wrong person is worse than none")
assert relative_error(lost, demb) > 0.1 and abs(change) < 1e-14 and other.mean < nobody

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 19`: the gradient of triples, and what a bias learns from its negatives.
# %%
print("lesson 19 done: a pair pulls with σ(-x); uniform negatives teach popularity; a new user is a row of zeros")
