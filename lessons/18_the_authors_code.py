# %% [markdown]
# # Lesson 18. Where the authors' code differs from the paper, measured
#
# *Before it: all lessons up to 17; most of all 09, 11, 13, 15, 16. About 45 minutes.*
#
# The authors published a TensorFlow program beside their paper. It is not the model of the paper's equations. Whoever compares
# "ATRank" with their own model should know which of the two they run. There are ten differences:
#
# | | the paper | the authors' code |
# |---|---|---|
# | 1 | score $S_k W_k S^\top$ (4) | $\mathrm{relu}(x A)\,\mathrm{relu}(m B)^\top / \sqrt{d}$ |
# | 2 | time: a row is added (section "behaviour embedding") | a one-hot of 12 buckets is concatenated, then a dense layer |
# | 3 | $F_{self}$ of full width; one residual and layer norm (6) | a quarter of it; both around the attention too |
# | 4 | $f = h \cdot e$ (8) | plus a bias for each item |
# | 5 | the query of the vanilla attention is $h_t$ | it is $q_t$, without $F_M$ |
# | 6 | L2 on weights | L2 on two activations, summed over the batch |
# | 7 | no clipping | the gradient's norm is clipped at 5 |
# | 8 | rate 1.0, exponential decay 0.1 | rate 1.0, then at once 0.1 |
# | 9 | (not said) | negatives drawn once, before the first epoch |
# | 10 | $F_M$ has a relu | it is a dense layer without one |
#
# This package follows the paper, with three exceptions that are on by default: 4, the residual of 3, and a rate of 0.5.
#
# Which of the ten matter? A training run answers with a number and no reason. So we ask by mathematics first: **what can each
# form express, and what gradient does it get?** Then come the measured numbers.
#
# ## The idea with one query and one key
#
# A query $(1, 0)$ meets the key $(-3, 4)$. The paper's score is their product, $-3$. Beside a score of 0 this behaviour gets
# $e^{-3}$ = 5 % of the weight that the other gets: the model says "not this". The authors' code puts a relu on the key as
# well: $(1, 0) \cdot (0, 4) = 0$. **Their score is never negative.** It can say "this one", but not "anything but this one".
#
# ## What the signs mean
#
# * $dZ$ (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$.
# * Nothing is above the scores here, so we make a loss of our own: $L = \sum_{ij} dz_{ij} z_{ij}$ with random numbers $dz$,
#   drawn once. Random, for with equal numbers some wrong gradients would look right.
# * $A \circ B$ is the product entry by entry; $[\,\cdot\,]$ is 1 where the condition holds, else 0;
#   $\mathrm{relu}(y) = \max(y, 0)$.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard` takes
#   rows of four: a name, our gradient, its array, and the rest of the computation as a function of this array, up to $L$.
#   It moves each entry by a little and says whether our gradient agrees.

# %%
import tempfile

import numpy as np
from _common import figure, scoreboard

from atrank_np.backend import NumpyBackend
from atrank_np.config import Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.shop import write
from atrank_np.datasets.shop_world import make_world
from atrank_np.departures import AUTHORS
from atrank_np.gradcheck import dense, relative_error, toy_problem
from atrank_np.layers.attention import softmax_forward
from atrank_np.layers.embedding import lookup_backward, lookup_forward, sum_rows
from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward
from atrank_np.layers.ranking import pointwise_backward, pointwise_forward
from atrank_np.metrics import auc
from atrank_np.optimizer import clip, learning_rate

# %% [markdown]
# ## 1. The score
#
# $$ s_{ip} = \mathrm{relu}\Big(\sum_q x_{iq} A_{qp}\Big) \qquad t_{jp} = \mathrm{relu}\Big(\sum_q x_{jq} B_{qp}\Big) \qquad
#    z_{ij} = \tfrac{1}{\sqrt d} \sum_p s_{ip}\, t_{jp} $$
#
# The slow version, then forward with numbers F1 to F3. In the backward pass B3 is the step back through F3, and so on:
# %%


def score_slow(x, A, B):  # [n,D], [D,d], [D,d] -> [n,n]
    n, d = len(x), A.shape[1]
    z = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for p in range(d):
                z[i, j] += max(x[i] @ A[:, p], 0) * max(x[j] @ B[:, p], 0) / d**0.5
    return z


rng = np.random.default_rng(18)
n, D, d = 5, 6, 3
x = rng.standard_normal((n, D))
A, B = rng.standard_normal((2, D, d))
root = np.sqrt(d)
ys, yt = x @ A, x @ B  # F1
s, t = np.maximum(ys, 0), np.maximum(yt, 0)  # F2
z = s @ t.T / root  # F3
assert relative_error(z, score_slow(x, A, B)) < 1e-14
dz = rng.standard_normal(z.shape)

# %% [markdown]
# **B3.** $z_{ij} = \frac{1}{\sqrt d} \sum_p s_{ip} t_{jp}$. Each factor gets $dz$ times the other, summed over the other's
# row:
#
# $$ ds_{ip} = \tfrac{1}{\sqrt d} \sum_j dz_{ij}\, t_{jp} \qquad dt_{jp} = \tfrac{1}{\sqrt d} \sum_i dz_{ij}\, s_{ip} $$
#
# The second sum goes over the first index of $dz$, so its transpose appears.
# %%
ds = dz @ t / root
dt = dz.T @ s / root


def loss_from_st(s, t):
    return (dz * (s @ t.T)).sum() / root


assert scoreboard(("s", ds, s, lambda s: loss_from_st(s, t)), ("t", dt, t, lambda t: loss_from_st(s, t)))

# %% [markdown]
# **B2, B1.** Through the relus, and then through the two products. Write $ys = xA$ and $yt = xB$. $x$ has **two uses**, as
# query and as key, and so two gradients that add up:
#
# $$ dys = ds \circ [s > 0] \qquad dyt = dt \circ [t > 0] \qquad dA_{qp} = \sum_i x_{iq}\, dys_{ip} \qquad
#    dx_{iq} = \sum_p dys_{ip} A_{qp} + \sum_p dyt_{ip} B_{qp} $$
# %%
dys = ds * (s > 0)
dyt = dt * (t > 0)
dA, dB = x.T @ dys, x.T @ dyt
dx = dys @ A.T + dyt @ B.T


def loss_slow(_):  # the scoreboard moves one of the arrays in place, so the argument is not needed
    return (dz * score_slow(x, A, B)).sum()


assert scoreboard(("A", dA, A, loss_slow), ("B", dB, B, loss_slow), ("x", dx, x, loss_slow))
zero = np.zeros(d)
(_, s_cache), (_, t_cache) = perceptron_forward(x, A, zero), perceptron_forward(x, B, zero)  # the package's layers
package_dx = perceptron_backward(ds, s_cache)[0] + perceptron_backward(dt, t_cache)[0]
assert relative_error(package_dx, dx) < 1e-14

# %% [markdown]
# What does the relu on the key cost? We compare random queries and keys, once with it and once without (both divided by
# $\sqrt d$). How little can 20 behaviours push one of them down? Five seeds:
# %%
least = {"bilinear": [], "relus": []}
for seed in range(5):
    draw = np.random.default_rng([18, seed])
    query, key = np.maximum(draw.standard_normal((400, 16)), 0), draw.standard_normal((400, 16))
    bilinear, relus = query @ key.T / 4, query @ np.maximum(key, 0).T / 4
    for name, scores in (("bilinear", bilinear), ("relus", relus)):
        weights, _ = softmax_forward(scores[:, :20])
        least[name].append(np.median(weights.min(1)))
    assert relus.min() >= 0
print("the least of 20 weights (1/20 is even):", {name: np.round(values, 4).tolist() for name, values in least.items()})
assert max(least["bilinear"]) < min(least["relus"])

# %% [markdown]
# ## 2. Time: the two forms are nearly one
#
# A one-hot vector times a matrix is a row of the matrix. Let $u$ be the embedding and $b$ the bucket. The code concatenates,
# the paper adds:
#
# $$ [u, onehot_b] \begin{pmatrix} W_u \\ W_t \end{pmatrix} = u W_u + W_t[b] \qquad\qquad
#    (u + T[b])\, W_u = u W_u + (T W_u)[b] $$
#
# With $W_t = T W_u$ they are the same function. So nothing is gained or lost in what can be expressed (12 buckets or 14
# apart). They descend a little differently: in the paper's form $W_u$ gets a gradient from $T[b]$ as well.
# %%
T, bucket = rng.standard_normal((4, D)), np.array([0, 3, 3, 1, 0])
W_u, dy = rng.standard_normal((D, d)), rng.standard_normal((n, d))
rows, row_cache = lookup_forward(T, bucket)
one_hot = np.eye(4)[bucket]
added = (x + rows) @ W_u
concatenated = np.concatenate([x, one_hot], axis=1) @ np.concatenate([W_u, T @ W_u])
assert relative_error(added, concatenated) < 1e-14
dW_t = one_hot.T @ dy  # a scatter-add of rows: lesson 03
dT = dense(lookup_backward(dy @ W_u.T, row_cache), T.shape)
assert relative_error(dT, dW_t @ W_u.T) < 1e-14

# %% [markdown]
# ## 3 and 5. Width, residuals, and a query without F_M
#
# At $D = 128$ a full $F_{self}$ has two matrices of $128 × 128$, 32,768 weights. A quarter of the width makes it 8,192. The
# residual lets each row say what it is, whatever the attention does (lesson 25 shows why that helps). Number 5 takes $F_M$
# out of the target's way; the target's embedding must then be as wide as the model, and history and target no longer share a
# layer.
#
# ## 4. The item bias: what can it know?
#
# $df$ goes straight into the bias of the target, whoever the user is. So all that it can learn is something about objects. We
# train a model that is nothing but a bias, and compare it with popularity.
# %%
with tempfile.TemporaryDirectory() as folder:
    write(make_world(0), 1000, folder)
    log = read_log(folder)
parts = Protocol(log)
task = parts.task
bias = np.zeros(len(log.catalogues["items"].objects))
for _ in range(20):
    for chosen in np.array_split(rng.permutation(len(parts.train.user)), 100):
        samples = parts.train.take(chosen)
        negatives = parts.negatives.draw(rng, samples)[:, 0]
        objects = np.concatenate([samples.object, negatives])
        label = np.repeat([1.0, 0], len(chosen))
        _, cache = pointwise_forward(bias[objects], label)
        step = sum_rows(objects, pointwise_backward(1.0, cache))
        bias[step.ids] -= 5.0 * step.values
learned, popularity = auc(bias[task.candidates]), auc(parts.popularity[0][task.candidates])
alike = np.corrcoef(bias[1:], np.log(1 + parts.popularity[0][1:]))[0, 1]
print(f"AUC of a bias alone {learned.mean:.3f} ± {learned.se:.3f}, of popularity {popularity.mean:.3f}", end="; ")
print(f"correlation of the bias with ln(1 + count) {alike:.2f}")
assert abs(learned.mean - popularity.mean) < 3 * learned.se and alike > 0.8

# %% [markdown]
# ## 6. L2 on activations, summed
#
# The loss is a mean over $T$ targets, so each target pulls with $(\sigma - y)/T$. A **sum** of squares pulls each activation
# $e$ with $\lambda e$, however large the batch. So in the code L2 grows with the batch size: eight times the batch, eight
# times the L2 beside the loss. And a row of a table that no batch holds never decays.
# %%
pull = {}
for size in (32, 256):
    h, e = 0.1 * rng.standard_normal((2, size, 128))
    _, cache = pointwise_forward((h * e).sum(1), np.tile([1.0, 0], size // 2))
    df = pointwise_backward(1.0, cache)
    pull[size] = np.linalg.norm(5e-5 * e) / np.linalg.norm(df[:, None] * h)
print(f"L2's pull over the loss's, the same λ: {pull[32]:.4f} with 32 targets, {pull[256]:.4f} with 256")
assert 7 < pull[256] / pull[32] < 9

# %% [markdown]
# ## 7 and 8. Clipping, and the rate
#
# Clipping does something only if the norm is above 5. With our start (a gain of 0.1, lesson 15) it is far below in the first
# steps; with a gain of 1 it is not. And a rate that falls at once has a larger mean than one that falls all the time: the code
# goes further on the same data.
# %%
model, _, some, _, config = toy_problem(np.random.default_rng(3), width=128, spaces=8)
largest = {}
for gain in (0.1, 1.0):
    largest[gain] = []
    for seed in range(3):
        backend = NumpyBackend(model, model.init(seed, gain=gain), config)
        norms = []
        for _ in range(10):
            norms.append(clip(backend.gradients(some)[1], 5.0))  # the norm before clipping
            backend.train_step(some, 1.0)  # the rate of both
        largest[gain].append(max(norms))
    print(f"gain {gain}: the largest gradient norm of 10 steps, three seeds: {np.round(largest[gain], 2)}")
assert max(largest[0.1]) < 5 < min(largest[1.0])
time = np.linspace(0, 1, 221)
smooth = np.array([learning_rate(Config(learning_rate=1.0), step, 1) for step in time])
sudden = np.where(time < 1.5 / 2.2, 1.0, 0.1)  # as in the run quoted below
print(f"mean rate of a run: exponential {smooth.mean():.2f}, at once {sudden.mean():.2f}")
assert sudden.mean() > smooth.mean() + 0.2

# %% [markdown]
# ## The measured numbers
#
# One change at a time, on validation events of Amazon Beauty, ten epochs, three seeds. The list is part of the package
# (`python -m atrank_np.departures`). The differences are to the equations as printed, 0.8189.
# %%
for change in AUTHORS:
    if change.effect != "above":  # those are measured in the list of departures
        print(f"{change.what:22} {change.effect}")

# %% [markdown]
# The relus of the score (1), the form of the time (2) and $F_M$ (10) cost 0.002 to 0.003 each: no more than hints, as other
# seeds move a single run by up to 0.008. (The ± is over users, for these seeds.) L2 on activations (6) and the query without
# $F_M$ (5) cost more. So do negatives that are drawn once (9): 0.013, in the list of departures. The residual (3) is the only
# gain, and it is the default now. All ten together lose 0.02.
#
# And the authors' own program? On the test events of Beauty, one seed, its best moment picked on the test: **0.7925**. The
# paper's equations with the item bias, in this package, three seeds, at the end of 20 epochs: **0.8267**. Their program's
# other models are all within 0.006 of each other, except BPR-MF.
#
# ## The picture
#
# Left: scores of random vectors; without the relu they go both ways. Middle: the learning rate over a run. Right: the authors'
# program (grey) and the printed equations in this package (blue) on Beauty. Bars are two standard errors over users.
# %%
beauty = {"authors: ATRank": 0.7925, "authors: Bi-LSTM": 0.7948, "authors: Bi-LSTM + attention": 0.7894}
beauty |= {"authors: CNN": 0.7909, "authors: BPR-MF": 0.7369, "printed, 10 epochs": 0.8105, "printed, 20 epochs": 0.8267}
with figure("18_authors_code", columns=3, size=(14, 4)) as (fig, axes):
    for scores, label in ((bilinear, "bilinear: above and below 0"), (relus, "two relus: never below 0")):
        axes[0].hist(scores.ravel(), bins=np.linspace(-4, 4, 81), alpha=0.6, label=label, density=True)
    axes[0].set(title="1. scores of random vectors, d = 16", xlabel="score", ylabel="density", ylim=(0, 1.6))
    axes[0].legend(fontsize=9)
    for rates, label in ((smooth, "the paper: exponential"), (sudden, "the code: at once")):
        axes[1].plot(time, rates, label=f"{label}, mean {rates.mean():.2f}")
    axes[1].set(title="8. the learning rate over a run", xlabel="share of the run", ylabel="rate", ylim=(0, 1.3))
    axes[1].legend(fontsize=9)
    for place, (name, value) in enumerate(beauty.items()):
        colour = "0.4" if "authors" in name else "C0"
        axes[2].errorbar(value, place, xerr=2 * 0.0027, fmt="o", color=colour, capsize=3)
    axes[2].set(yticks=range(len(beauty)), yticklabels=list(beauty), xlabel="AUC on Beauty, ± 2 standard errors")
    axes[2].set_title("authors' program and printed equations")
    axes[2].grid(axis="x")

# %% [markdown]
# ## What people get wrong
#
# 1. **Clipping each array by itself.** Then arrays with a large gradient shrink more than others, and the step's direction
#    turns. The norm of everything together decides, with one factor for all.
# 2. **A difference of one seed taken for one of models.** Two seeds of one model differ as much as the authors' ATRank and
#    CNN do.
# 3. **Several changes at once.** If ten changes lose 0.02, one does not know which. One at a time, with the others as they
#    were.
# %%
g = [np.array([30.0, 40]), np.array([0.3, 0.4])]
each = [a * min(1, 5 / np.linalg.norm(a)) for a in g]
together = {0: g[0].copy(), 1: g[1].copy()}
clip(together, 5.0)
kept_ratio, turned_ratio = together[0][0] / together[1][0], each[0][0] / each[1][0]
print(f"1. ratio of two gradients: 100; clipped together {kept_ratio:.0f}, one by one {turned_ratio:.0f}")
seeds, models = (0.8345 - 0.8305) / (0.0027 * 2**0.5), (0.7925 - 0.7909) / (0.0027 * 2**0.5)
print(f"2. in unpaired standard errors: two seeds of one model (lesson 22) {seeds:.1f}, their ATRank and CNN {models:.1f}")
assert np.isclose(kept_ratio, 100) and np.isclose(turned_ratio, 10) and seeds > models

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 18` (from the repository's root): their score backward, clipping, and a third kind of
# score that stands in neither: additive attention.
# %%
print("lesson 18 done: ten differences; ask what a form can express, then measure one change at a time")
