# %% [markdown]
# # Lesson 13. The score of a target, and the loss (8)
#
# *Before it: lessons 02 (numeric derivatives) and 05 (products and relus). About 40 minutes.*
#
# For every target $t$ the model has made two vectors: $h_t$, what the object is, and $e_t$, what the user's history says about
# it. Their product is the score $f_t$. The loss says how wrong the scores are. In this lesson the backward pass begins:
# everything that is trained, is trained by $df$.
#
# **Conventions.** $dZ$ is $\partial L/\partial Z$, where $L$ is the loss, one number. It has the shape of $Z$, and $dZ_t$ says
# how fast $L$ grows with the one number $Z_t$. (In the other lessons $L$ is made up, with a random upstream gradient. Here it
# is the real one.) $A \circ B$ multiplies entry by entry. `relative_error(A, B)` is the largest difference divided by the
# largest entry. `scoreboard` takes rows (name, our gradient, array, rest of the computation as a function of that array), and
# compares with numeric derivatives.

# %%
import math

import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error
from atrank_np.layers import ranking


# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# The score is $f = h \cdot e$: for $h = (1, 2)$ and $e = (3, -1)$ it is $3 - 2 = 1$. The sigmoid makes a probability of it. The
# easiest way to think of it are the odds $e^f$: odds of 3 to 1 are a probability of ¾. So the scores $0, \ln 3, -\ln 3$ have
# the odds 1, 3, ⅓ and the probabilities $p$ = ½, ¾, ¼.
#
# Let the first two be objects that the user chose ($y = 1$), and the third one that was drawn at random ($y = 0$). The loss of
# a target is minus the logarithm of the probability that the model gave to the truth: ½, ¾, and for the third 1 − ¼ = ¾. The
# mean of the three is $(\ln 2 + 2 \ln \frac43)/3$.
#
# How should the scores move? We shall derive that the gradient is just $(p - y)/3$: what the model said, minus what was true.
# That is $(-½, -¼, ¼)/3$. A step against it lifts the two positives, the doubtful one more, and lowers the negative. We try it:
# %%
def loss_slow(f, y):  # [T], [T] -> number, (8) as it is written
    T = len(f)
    total = 0.0
    for t in range(T):
        p = 1 / (1 + math.exp(-f[t]))
        total -= y[t] * math.log(p) + (1 - y[t]) * math.log(1 - p)
    return total / T


def first_loss(f):
    return loss_slow(f, [1, 1, 0])


scores = np.array([0, math.log(3), -math.log(3)])
print("3 L =", round(3 * first_loss(scores), 6), "= ln 2 + 2 ln(4/3) =", round(math.log(2) + 2 * math.log(4 / 3), 6))
slopes = numeric_gradient(first_loss, scores)
print("3 times the numeric slopes:", (3 * slopes).round(6))
assert np.allclose(3 * slopes, [-0.5, -0.25, 0.25])

# %% [markdown]
# ## The equations
#
# $$ f_t = h_t \cdot e_t = \sum_j h_{tj}\, e_{tj} \qquad p_t = \sigma(f_t) = \frac{1}{1 + e^{-f_t}} $$
# $$ (8)\quad L = -\frac{1}{T}\sum_t \big[\, y_t \log \sigma(f_t) + (1 - y_t) \log (1 - \sigma(f_t)) \,\big] $$
#
# $y_t$ is 1 for an object that the user chose and 0 for one drawn at random. The paper writes the sum; we take the mean over
# the $T$ targets of a batch, so that a learning rate means the same for every batch size.
#
# ## Forward, one step a line
# %%
rng = np.random.default_rng(13)
T, D = 7, 3
h, e = rng.standard_normal((2, T, D))
y = np.array([1.0, 0, 0, 1, 1, 0, 0])

f = (h * e).sum(1)  # F1
a = np.exp(-f)  # F2
b = 1 + a  # F3
p = 1 / b  # F4
q = 1 - p  # F5
log_p = np.log(p)  # F6
log_q = np.log(q)  # F7
L = -(y * log_p + (1 - y) * log_q).mean()  # F8
assert math.isclose(L, loss_slow(f, y))


# %% [markdown]
# ## B8. The mean
#
# $L = -\frac1T \sum_t [\,y_t\, log\_p_t + (1 - y_t)\, log\_q_t\,]$ is linear in both logarithms:
#
# $$ dlog\_p_t = -\frac{y_t}{T} \qquad\qquad dlog\_q_t = -\frac{1 - y_t}{T} $$
# %%
def from_log_p(log_p):
    return -(y * log_p + (1 - y) * log_q).mean()


def from_log_q(log_q):
    return -(y * log_p + (1 - y) * log_q).mean()


dlog_p = -y / T
dlog_q = -(1 - y) / T
assert scoreboard(("log p", dlog_p, log_p, from_log_p), ("log q", dlog_q, log_q, from_log_q))


# %% [markdown]
# ## B7, B6, B5. The logarithms, and the two uses of $p$
#
# The slope of $\log q$ is $1/q$. And $p$ is used twice: in $\log p$ with slope $1/p$, and in $q = 1 - p$ with slope −1. What
# is used twice gets the sum of both:
#
# $$ dq_t = \frac{dlog\_q_t}{q_t} \qquad\qquad dp_t = \frac{dlog\_p_t}{p_t} - dq_t $$
# %%
def from_q(q):
    return from_log_q(np.log(q))


def from_p(p):  # both uses
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


dq = dlog_q / q  # B7
dp = dlog_p / p - dq  # B6 and B5
assert scoreboard(("q = 1 - p", dq, q, from_q), ("p = 1/b", dp, p, from_p))


# %% [markdown]
# ## B4, B3, B2. Back to the score
#
# $p = 1/b$ has the slope $-1/b^2$, $b = 1 + a$ has the slope 1, $a = e^{-f}$ has the slope $-a$:
#
# $$ db_t = -\frac{dp_t}{b_t^2} \qquad da_t = db_t \qquad df_t = -a_t\, da_t $$
# %%
def from_b(b):
    return from_p(1 / b)


def from_a(a):
    return from_b(1 + a)


def from_f(f):
    return loss_slow(f, y)


db = -dp / b**2  # B4
da = db  # B3
df = -a * da  # B2
assert scoreboard(("b = 1 + a", db, b, from_b), ("a = exp(-f)", da, a, from_a), ("f", df, f, from_f))


# %% [markdown]
# ## B1. The dot product
#
# $f_t = \sum_j h_{tj}\, e_{tj}$: each factor gets the other one, $dh_{tj} = df_t\, e_{tj}$ and $de_{tj} = df_t\, h_{tj}$.
# %%
def from_h(h):
    return loss_slow((h * e).sum(1), y)


def from_e(e):
    return loss_slow((h * e).sum(1), y)


dh = df[:, None] * e
de = df[:, None] * h
assert scoreboard(("h", dh, h, from_h), ("e", de, e, from_e))

# %% [markdown]
# ## Collapsed to one line
#
# Put B2 to B4 into each other: $df = dp\, \frac{a}{b^2}$. Since $p = 1/b$ and $1 - p = a/b$, this is $df = dp \cdot p\,(1-p)$.
# And
#
# $$ dp = \frac1T\Big(\frac{1-y}{1-p} - \frac{y}{p}\Big) \quad\Rightarrow\quad
#    df = \frac{(1-y)\,p - y\,(1-p)}{T} = \frac{p - y}{T}. $$
#
# **What was said, minus what was true.** All divisions have cancelled, so nothing can overflow. The size of the gradient is
# never above $1/T$, and it is nearly 0 only for a target that is right.
# %%
assert relative_error((p - y) / T, df) < 1e-13

# %% [markdown]
# Some numbers to read it by, without the factor $1/T$. A positive with the probability 0.9 gets −0.1, so a step lifts its
# score a little. One with 0.5 gets −0.5, one with 0.01 gets −0.99: nearly as much as possible. Negatives mirror this: with the
# probability 0.9 one gets 0.9, with 0.01 only 0.01. So most of what is learned comes from the targets that are wrong. At the
# start the parameters are small, all scores are near 0, all probabilities near ½, and the loss is near $\ln 2 = 0.693$: the
# loss of a model that knows nothing. If yours starts elsewhere, look for a fault before you train.
#
# ## The loss without overflow
#
# The loss itself can also be written safely. $-\log \sigma(f) = \log(1 + e^{-f})$ and $-\log(1 - \sigma(f)) = \log(1 + e^f)$.
# The second is called $\mathrm{softplus}(f)$, and the two differ by $f$. So for both labels at once
#
# $$ \ell = \mathrm{softplus}(f) - y f, \qquad \mathrm{softplus}(f) = \max(f, 0) + \mathrm{log1p}(e^{-|f|}) $$
#
# where `log1p(x)` is $\log(1 + x)$, exact for tiny $x$ too. The exponential is only taken of numbers that are not positive. The
# package computes this.
# %%
loss, cache = ranking.pointwise_forward(f, y)
assert math.isclose(loss, L)
assert relative_error(ranking.pointwise_backward(1.0, cache), df) < 1e-13
f_package, dot_cache = ranking.dot_forward(h, e)
dh_package, de_package = ranking.dot_backward(df, dot_cache)
assert relative_error(f_package, f) < 1e-14
assert relative_error(dh_package, dh) < 1e-14 and relative_error(de_package, de) < 1e-14

# %% [markdown]
# ## The pair-wise loss
#
# The paper says that a pair-wise loss is easy, and leaves it away. It asks only for the right order: for a positive $i$ and a
# negative $j$ of the same history the loss is $-\log\sigma(f_i - f_j)$, and we take the mean over all $X$ pairs.
#
# This is near to what is measured in the end. The AUC (lesson 16) counts the pairs in the right order. That count has no useful
# slope: it jumps. $-\log\sigma$ of the difference is small for a pair in the right order and grows steadily for one in the
# wrong order, so it can be descended.
#
# Let $m_x = f_i - f_j$ be the margin of pair $x$. $-\log \sigma(m) = \mathrm{softplus}(-m)$, and the slope of softplus is
# $\sigma$, so
#
# $$ dm_x = -\frac{\sigma(-m_x)}{X} \qquad\qquad df_i \mathrel{+}= dm_x \qquad df_j \mathrel{-}= dm_x $$
#
# A target stands in several pairs, so its shares add up: `+=` in a loop over the pairs.
# %%
target_offsets = np.array([0, 3, 7])  # two histories: targets 0 to 2, and 3 to 6
positive, negative = ranking.pairs_of(y, target_offsets)
print("pairs (positive, negative):", list(zip(positive.tolist(), negative.tolist())))
X = len(positive)


def pair_slow(f):
    total = 0.0
    for i, j in zip(positive, negative):
        total += math.log(1 + math.exp(-(f[i] - f[j])))
    return total / X


df_pair = np.zeros(T)
for i, j in zip(positive, negative):
    dm = -1 / (1 + math.exp(f[i] - f[j])) / X  # -σ(-m) / X
    df_pair[i] += dm
    df_pair[j] -= dm
assert scoreboard(("f, pair-wise", df_pair, f, pair_slow))

pair_loss, cache = ranking.pairwise_forward(f, positive, negative)
assert math.isclose(pair_loss, pair_slow(f))
assert relative_error(ranking.pairwise_backward(1.0, cache), df_pair) < 1e-13

# %% [markdown]
# What a positive gains, its negative loses, so the gradients sum to 0. If all scores grow by 5, no order changes, and neither
# does the pair-wise loss. The point-wise loss (8) does: it also asks for the right height of the scores, so that $\sigma(f)$
# is a probability.
# %%
higher_pair_loss, _ = ranking.pairwise_forward(f + 5, positive, negative)
higher_loss, _ = ranking.pointwise_forward(f + 5, y)
print(f"all scores + 5: pair-wise {pair_loss:.3f} to {higher_pair_loss:.3f}, point-wise {loss:.3f} to {higher_loss:.3f}")
assert abs(df_pair.sum()) < 1e-15 and math.isclose(higher_pair_loss, pair_loss) and higher_loss - loss > 1

# %% [markdown]
# ## The deep $f$
#
# The text under (8) allows a deep network in place of the dot product. Ours reads $[h, e, h \circ e]$ and has one hidden
# layer. On the way back $h$ has two uses, itself and the product: $dh + dproduct \circ e$. The same for $e$.
# %%
W1, b1 = rng.standard_normal((3 * D, 5)), rng.standard_normal(5)
w2, b2 = rng.standard_normal((5, 1)), rng.standard_normal(1)
r = rng.standard_normal(T)  # a random upstream gradient


def deep(_):
    f, _ = ranking.deep_forward(h, e, W1, b1, w2, b2)
    return (r * f).sum()


x = np.concatenate([h, e, h * e], axis=1)
hidden = np.maximum(x @ W1 + b1, 0)
dx = (r[:, None] * w2[:, 0] * (hidden > 0)) @ W1.T
dh_part, de_part, dproduct = np.split(dx, 3, axis=1)
dh_deep = dh_part + dproduct * e
de_deep = de_part + dproduct * h
assert scoreboard(("deep: h", dh_deep, h, deep), ("deep: e", de_deep, e, deep))
_, cache = ranking.deep_forward(h, e, W1, b1, w2, b2)
dh_package, de_package, *_ = ranking.deep_backward(r, cache)
assert relative_error(dh_package, dh_deep) < 1e-13 and relative_error(de_package, de_deep) < 1e-13

# %% [markdown]
# ## The picture
#
# Left: the loss of a positive, and its slope $\sigma(f) - 1$ at three scores. For a confident mistake, far left, the slope is
# nearly −1. Middle: if we took $(p - 1)^2$ as the loss, the slope would be nearly 0 exactly there, and little would be learned
# from the worst mistakes. Right: the loss of a positive that is right, in float32, as (8) is written and in the log1p form.
# %%
with figure("13_ranking_loss", columns=3, size=(13, 4)) as (fig, axes):
    scores = np.linspace(-6, 6, 241)
    s = ranking.sigmoid(scores)
    axes[0].plot(scores, ranking.softplus(-scores), label="y = 1: −log σ(f)")
    axes[0].plot(scores, ranking.softplus(scores), color="0.75", label="y = 0: −log(1 − σ(f))")
    for at, words_x, words_y in ((-4.0, -3.4, 4.3), (0.0, 0.5, 1.15), (3.0, 2.1, 0.45)):
        slope = 1 / (1 + math.exp(-at)) - 1
        here = math.log(1 + math.exp(-at))
        axes[0].plot([at - 1, at + 1], [here - slope, here + slope], color="C3", lw=2.5)
        axes[0].text(words_x, words_y, f"slope {slope:.2f}", color="C3", fontsize=9)
    axes[0].plot(0, np.log(2), "ko", ms=4)
    axes[0].text(-1.5, 0.35, "ln 2", fontsize=9)
    axes[0].set(title="the loss of one target", xlabel="score f", ylabel="loss", ylim=(-0.2, 8))
    axes[0].legend(loc="upper center", fontsize=8)
    axes[1].plot(scores, s - 1, label="cross entropy: σ − 1")
    axes[1].plot(scores, 2 * (s - 1) * s * (1 - s), label="squared error: 2 (σ − 1) σ (1 − σ)")
    axes[1].axvspan(-6, -3, color="C3", alpha=0.1)
    axes[1].text(-5.9, -0.6, "confident\nand wrong", color="C3", fontsize=9)
    axes[1].set(title="slope of the loss of a positive", xlabel="score f", ylabel="slope")
    axes[1].legend(loc="lower right", fontsize=8)
    wide = np.linspace(0, 40, 161, dtype=np.float32)
    with np.errstate(divide="ignore"):
        literal = -np.log(1 / (1 + np.exp(-wide)))
    axes[2].semilogy(wide, ranking.softplus(-wide), label="log1p form")
    axes[2].semilogy(wide[literal > 0], literal[literal > 0], label="as (8) is written")
    end = wide[literal > 0][-1]
    axes[2].plot(end, literal[literal > 0][-1], "o", color="C1")
    words = f"above f = {end:.1f} the sum 1 + e⁻ᶠ\nis rounded to 1: a loss of 0"
    axes[2].annotate(words, (end, 1.5e-7), (14.5, 1e-4), fontsize=9, arrowprops={"arrowstyle": "->"})
    axes[2].set(title="float32: the loss of a positive that is right", xlabel="score f", ylabel="loss")
    axes[2].legend(loc="lower left", fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
with np.errstate(divide="ignore"):  # 1. the formula as it is written, for a confident mistake
    literal = -np.log(1 - ranking.sigmoid(np.array(40.0)))
print(f"1. f = 40, y = 0: -log(1 - σ(f)) gives {literal}, softplus(f) gives {ranking.softplus(np.array(40.0))}")
assert np.isinf(literal)

counts, lost = np.bincount(positive, minlength=T), np.zeros(T)  # 2. `+=` with repeated places keeps one of the repeats
lost[positive] += 1
print("2. pairs of each target as positive:", counts, " but `df[positive] += 1` counts", lost.astype(int))
assert counts.max() > 1 and lost.max() == 1

perfect = np.array([50.0, -50.0])  # 3. the sigmoid taken twice
twice, _ = ranking.pointwise_forward(ranking.sigmoid(perfect), np.array([1.0, 0.0]))
print(f"3. perfect scores, but σ(f) given to a loss that takes σ itself: {twice:.3f} in place of 0")
assert twice > 0.5

summed = p - y  # 4. the sum in place of the mean
print(f"4. without 1/T: the gradient is {np.linalg.norm(summed) / np.linalg.norm(df):.0f} = T times as large, and so is the step")
assert np.allclose(summed, T * df)

# %% [markdown]
# ## Your turn
#
# First (8) in both directions, for scores of 800 too. Then a loss that is not in this lesson: a squared margin loss with
# weights, whose margin is trained. `python -m lessons.exercises check 13` (from the repository's root).
# %%
print("lesson 13 done: the gradient of the cross entropy is (σ(f) - y) / T; a pair moves its two scores by opposite amounts")
