# %% [markdown]
# # Lesson 13. Ranking and the sigmoid cross entropy (8)
#
# *Before it: lessons 02 (numeric derivatives) and 05 (products and relus). About 25 minutes.*
#
# The model has made two vectors for every target $t$: $h_t$, what the object is, and $e_t$, what the user's history says about
# it. The ranking function turns them into one number, and the loss says how wrong that number is:
#
# $$ f_t = f(h_t, e_t) = h_t \cdot e_t \qquad p_t = \sigma(f_t) = \frac{1}{1 + e^{-f_t}} $$
# $$ (8)\quad L = -\frac{1}{T}\sum_t \big[\, y_t \log \sigma(f_t) + (1 - y_t) \log (1 - \sigma(f_t)) \,\big] $$
#
# $y_t$ is 1 for an object that the user chose and 0 for one drawn at random. The paper writes the sum; we take the mean over the
# $T$ targets of a batch, so that a learning rate means the same for every batch size.

# %%
import math

import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import numeric_gradient, relative_error
from atrank_np.layers import ranking


# %% [markdown]
# ## The slow version, symbol by symbol
# %%
def loss_slow(f, y):
    total = 0.0
    for t in range(len(f)):
        p = 1 / (1 + math.exp(-f[t]))
        total -= y[t] * math.log(p) + (1 - y[t]) * math.log(1 - p)
    return total / len(f)


rng = np.random.default_rng(13)
T, D = 7, 3
h, e = rng.standard_normal((2, T, D))
y = np.array([1.0, 0, 0, 1, 1, 0, 0])
f, dot_cache = ranking.dot_forward(h, e)
assert all(math.isclose(f[t], sum(h[t, j] * e[t, j] for j in range(D))) for t in range(T))

# %% [markdown]
# ## The gradient in atoms
#
# Forward, one step a line; backward, the same lines from the last to the first. `q` is a second use of `p`: two shares add up.
# %%
a = np.exp(-f)
b = 1 + a
p = 1 / b
q = 1 - p
log_p, log_q = np.log(p), np.log(q)
L = -(y * log_p + (1 - y) * log_q).mean()
assert math.isclose(L, loss_slow(f, y))

dlog_p = -y / T  # L is minus a mean
dlog_q = -(1 - y) / T
dq = dlog_q / q  # log' = 1/q
dp = dlog_p / p - dq  # p has two uses: in log p, and in q = 1 - p
db = -dp / b**2  # p = 1/b
da = db  # b = 1 + a
df = -da * a  # a = exp(-f)
dh, de = df[:, None] * e, df[:, None] * h  # f = h · e: each factor gets the other one

ends = lambda log_p, log_q: -(y * log_p + (1 - y) * log_q).mean()
from_p = lambda p: ends(np.log(p), np.log(1 - p))
assert scoreboard(
    ("log p", dlog_p, log_p, lambda log_p: ends(log_p, log_q)),
    ("log(1 - p)", dlog_q, log_q, lambda log_q: ends(log_p, log_q)),
    ("q = 1 - p", dq, q, lambda q: ends(log_p, np.log(q))),
    ("p = 1/b", dp, p, from_p),
    ("b = 1 + a", db, b, lambda b: from_p(1 / b)),
    ("a = exp(-f)", da, a, lambda a: from_p(1 / (1 + a))),
    ("f = h · e", df, f, lambda f: loss_slow(f, y)),
    ("h", dh, h, lambda h: loss_slow((h * e).sum(1), y)),
    ("e", de, e, lambda e: loss_slow((h * e).sum(1), y)),
)

# %% [markdown]
# ## Collapsed to one line
#
# Put the atoms into each other. Since $a / b^2 = p\,(1-p)$, we have $df = dp \cdot p\,(1-p)$, and
# $$ dp = \frac1T\Big(\frac{1-y}{1-p} - \frac{y}{p}\Big) \quad\Rightarrow\quad
#    df = \frac{(1-y)\,p - y\,(1-p)}{T} = \frac{\sigma(f) - y}{T}. $$
# Seven atoms become: **what was said, minus what was true**. Nothing is left to divide by, so nothing can blow up.
#
# The loss itself deserves the same care. $-\log\sigma(f) = \log(1 + e^{-f})$, and $-\log(1-\sigma(f)) = \log(1 + e^{f})$, which
# is called softplus$(f)$; the two differ by $f$. So, for both labels at once,
# $$ \ell = \mathrm{softplus}(f) - y f, \qquad \mathrm{softplus}(f) = \max(f, 0) + \mathrm{log1p}(e^{-|f|}). $$
# The second form never takes the exponential of a positive number; `log1p(x)` is $\log(1+x)$, exact for tiny $x$ too.
# %%
assert relative_error((ranking.sigmoid(f) - y) / T, df) < 1e-13
loss, cache = ranking.pointwise_forward(f, y)
assert math.isclose(loss, L) and relative_error(ranking.pointwise_backward(1.0, cache), df) < 1e-13  # the package's version
assert all(relative_error(x, w) < 1e-13 for x, w in zip(ranking.dot_backward(df, dot_cache), (dh, de)))

# %% [markdown]
# ## The pair-wise loss
#
# The paper says that a pair-wise loss is easy, and omits it. It asks only for the right order: for a positive $i$ and a negative
# $j$ of the same history, $-\log\sigma(f_i - f_j)$. With the margin $x = f_i - f_j$ that is softplus$(-x)$, so
# $dx = -\sigma(-x)/X$ for $X$ pairs; $f_i$ gets $dx$ and $f_j$ gets $-dx$. A target stands in several pairs: its shares ADD.
# %%
target_offsets = np.array([0, 3, 7])  # two histories, with 3 and 4 targets
i, j = ranking.pairs_of(y, target_offsets)
assert list(zip(i.tolist(), j.tolist())) == [(0, 1), (0, 2), (3, 5), (3, 6), (4, 5), (4, 6)]
pair_slow = lambda f: sum(-math.log(1 / (1 + math.exp(-(f[m] - f[n])))) for m, n in zip(i, j)) / len(i)
pair_loss, cache = ranking.pairwise_forward(f, i, j)
df_pair = ranking.pairwise_backward(1.0, cache)
assert math.isclose(pair_loss, pair_slow(f)) and relative_error(df_pair, numeric_gradient(pair_slow, f.copy())) < 1e-7
assert abs(df_pair.sum()) < 1e-15  # what a positive gains, a negative loses: a shift of all scores changes nothing
assert math.isclose(ranking.pairwise_forward(f + 5, i, j)[0], pair_loss)
assert ranking.pointwise_forward(f + 5, y)[0] - loss > 1  # the point-wise loss also asks for the right height

# %% [markdown]
# ## The deep f
#
# The text under (8) allows "a more complexed deep neural network". Ours reads $[h, e, h \circ e]$, then one hidden layer.
# Backward, $h$ has two uses (itself, and the product), and so has $e$: `dh + dproduct * e`, `de + dproduct * h`.
# %%
W1, b1, w2, b2 = (rng.standard_normal(s) for s in ((3 * D, 5), 5, (5, 1), 1))
r = rng.standard_normal(T)
deep = lambda h, e: float(r @ ranking.deep_forward(h, e, W1, b1, w2, b2)[0])
dh_deep, de_deep, *_ = ranking.deep_backward(r, ranking.deep_forward(h, e, W1, b1, w2, b2)[1])
assert scoreboard(("deep: h", dh_deep, h, lambda h: deep(h, e)), ("deep: e", de_deep, e, lambda e: deep(h, e)))

# %% [markdown]
# ## With a pencil
#
# $h = (1, 2)$ and $e = (3, -1)$: $f = 3 - 2 = 1$. And a batch with $f = (0, \ln 3, -\ln 3)$: the odds $e^f$ are 1, 3 and ⅓, so
# $p = (\tfrac12, \tfrac34, \tfrac14)$. With $y = (1, 1, 0)$ we get $p - y = (-\tfrac12, -\tfrac14, \tfrac14)$, and $df$
# is a third of it. Descent lifts the two positives, the doubtful one more, and lowers the negative.
# %%
pencil_loss, cache = ranking.pointwise_forward(np.array([0, np.log(3), -np.log(3)]), np.array([1.0, 1, 0]))
pencil_df = ranking.pointwise_backward(1.0, cache)
print("pencil: 3 df =", 3 * pencil_df, "  3 L =", round(3 * pencil_loss, 6), "= ln 2 + 2 ln(4/3)")
assert np.allclose(3 * pencil_df, [-0.5, -0.25, 0.25]) and np.isclose(3 * pencil_loss, np.log(2) + 2 * np.log(4 / 3))

# %% [markdown]
# ## The picture
#
# Left: the loss of a positive; its slope is $\sigma(f) - 1$. A confident mistake costs a straight line. Middle: had we taken
# $(p - 1)^2$, the slope would die where the mistake is worst: nothing to learn from. Right: the literal (8) and the log1p form in
# float32, for a positive that is right.
# %%
with figure("13_ranking_loss", columns=3, size=(12, 3.8)) as (fig, axes):
    x = np.linspace(-6, 6, 241)
    s = ranking.sigmoid(x)
    axes[0].plot(x, ranking.softplus(-x))
    axes[0].plot(x, ranking.softplus(x), color="0.75")
    axes[0].text(-5.6, 6.1, "y = 1: −log σ(f)", color="C0", fontsize=9)
    axes[0].text(1.6, 6.1, "y = 0: −log(1 − σ(f))", color="0.5", fontsize=9)
    for at in (-4.0, 0, 3):
        slope, here = float(ranking.sigmoid(np.array(at)) - 1), float(ranking.softplus(np.array(-at)))
        axes[0].plot([at - 1, at + 1], [here - slope, here + slope], color="C3", lw=2.5)
        axes[0].annotate(f"slope σ − 1 = {slope:.2f}", (at, here), (min(at - 0.2, 1.9), here + 0.6), color="C3", fontsize=9)
    axes[0].plot(0, np.log(2), "ko", ms=4)
    axes[0].annotate("ln 2", (0, np.log(2)), (-0.3, 0.12), fontsize=9)
    axes[0].set(title="the loss, and its slope at three places", xlabel="score f", xlim=(-6, 6.5))
    axes[1].plot(x, s - 1, label="cross entropy: σ(f) − 1")
    axes[1].plot(x, 2 * (s - 1) * s * (1 - s), label="squared error: 2 (σ − 1) σ (1 − σ)")
    axes[1].axvspan(-6, -3, color="C3", alpha=0.1)
    axes[1].text(-5.9, -0.6, "confident\nand wrong", color="C3", fontsize=9)
    axes[1].set(title="gradient of a positive", xlabel="score f")
    axes[1].legend(loc="lower right", fontsize=8)
    wide = np.linspace(0, 40, 161, dtype=np.float32)
    with np.errstate(divide="ignore"):
        literal = -np.log(1 / (1 + np.exp(-wide)))
    axes[2].semilogy(wide, ranking.softplus(-wide), label="log1p form")
    axes[2].semilogy(wide[literal > 0], literal[literal > 0], label="as (8) is written")
    end = wide[literal > 0][-1]
    axes[2].plot(end, literal[literal > 0][-1], "o", color="C1")
    text = f"above f = {end:.1f} the sum 1 + e⁻ᶠ\nrounds to 1, and the loss is exactly 0"
    axes[2].annotate(text, (end, 1.5e-7), (14, 1e-4), fontsize=9, arrowprops={"arrowstyle": "->"})
    axes[2].set(title="float32: the loss of a right positive", xlabel="score f")
    axes[2].legend(loc="lower left", fontsize=8)

# %% [markdown]
# ## What people get wrong
# %%
with np.errstate(divide="ignore"):  # 1. the literal formula, for a confident mistake
    literal = -np.log(1 - ranking.sigmoid(np.array(40.0)))
print("1. f = 40, y = 0: -log(1 - σ(f)) =", literal, " softplus:", ranking.softplus(40.0))
assert np.isinf(literal)

lost = np.zeros(T)  # 2. `+=` with repeated places keeps one of the repeats
lost[i] += 1
print("2. pairs per positive:", np.bincount(i)[[0, 3, 4]], " but df[i] += 1 counts", lost[[0, 3, 4]].astype(int))
assert (lost[[0, 3, 4]] == 1).all()
twice = ranking.pointwise_forward(ranking.sigmoid(np.array([50.0, -50])), np.array([1.0, 0]))[0]  # 3. sigmoid taken twice
print(f"3. perfect scores, but σ taken before a loss that takes it itself: {twice:.3f} instead of 0")
assert twice > 0.5

ratio = np.linalg.norm(ranking.sigmoid(f) - y) / np.linalg.norm(df)  # 4. sum for mean
print(f"4. sum for mean: the gradient is {ratio:.0f} = T times as large, and so is the step")

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 13` (from the repository's root): both losses, backward.
# %%
print("lesson 13 done: the gradient of the cross entropy is (σ(f) - y) / T; a pair hands the same amount up and down")
