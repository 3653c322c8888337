# %% [markdown]
# # Lesson 08. Scores of pairs: the bilinear form (4)
#
# *Before it: lessons 07 (softmax) and 02 (numeric derivatives; its conventions are repeated below). About 40 minutes.*
#
# Softmax makes weights from scores (lesson 07). Where do the scores come from? This lesson computes them. Each behaviour $i$
# of a user looks at each behaviour $j$, and the score says how well $j$ fits $i$. We call $i$ the one that *asks* (its row is
# the *query*) and $j$ the one that is *looked at* (its row is the *key*).
#
# ## The idea, with small numbers
#
# Why not add a number for $i$ and a number for $j$? Say three keys have the numbers 0, 2, 1. Query A has the number 5, so its
# scores are 5, 7, 6. Query B has 1: its scores are 1, 3, 2. Both rows have the same differences, and a softmax sees
# differences only. So A and B would get the same weights, whoever they are. A sum cannot make the answer depend on who asks.
#
# Something must bring the two rows together before they are added up. There are several ways (an exercise at the end puts the
# sum into a tanh). The paper takes the simplest: it *multiplies*. Let query A be the row (1, 2), and keys the rows (1, 1) and
# (2, −1). Their scalar products are $1·1 + 2·1 = 3$ and $1·2 + 2·(−1) = 0$: A prefers the first key. Query B = (2, −1) has
# $1$ and $5$: B prefers the second. Now it matters who asks. To let the model learn which number of the one should meet which
# number of the other, and to allow rows of different length, there is a matrix $W$ between them.
#
# ## The equation
#
# $$ (4)\qquad a(S_k, S; \theta_k) = S_k\, W_k\, S^\top, \qquad
#    \text{score}_{ij} = \sum_p \sum_q s_{ip}\, W_{pq}\, m_{jq} $$
#
# $S$ is $[n, D]$: a row of $D$ numbers for each of the $n$ behaviours. $S_k$ is $[n, d]$: the same behaviours in the latent
# space $k$, where a row is shorter, $d = D/K$ (lesson 06; here one space is enough). $W_k$ is $[d, D]$ and is learned;
# $\theta_k$ is the paper's name for it. In code `s` is $S_k$ and `m` (for memory) is $S$: in lesson 12 other rows stand in
# these two places.
#
# The form is called *bilinear*: with `m` held fixed it is linear in `s`, and with `s` held fixed it is linear in `m`. For
# given lengths $d$ and $D$ every such form can be written with a matrix $W$: its entry $W_{pq}$ is the score of the $p$-th
# unit row with the $q$-th. There is no factor $1/\sqrt{d}$ as in a transformer; below we see what follows from that.
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. What comes after the scores gives us $G = d\text{score}$, the
# *upstream gradient* $[n, n]$. To test the layer alone, $G$ is random and $L = \sum_{ij} G_{ij}\, \text{score}_{ij}$ (random,
# because equal numbers hide mistakes: lesson 02). `relative_error` is the largest difference of two arrays divided by their
# largest entry. `scoreboard((name, gradient, array, f))` compares a gradient with numeric derivatives of `f(array)`.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import (
    attention_backward,
    attention_forward,
    attention_weights,
    softmax_backward,
    softmax_forward,
)


# %% [markdown]
# ## The slow version: every pair, every product
# %%
def scores_slow(s, W, m):  # [n,d], [d,D], [n,D] -> [n,n]
    score = np.zeros((len(s), len(m)))
    for i in range(len(s)):
        for j in range(len(m)):
            for p in range(W.shape[0]):
                for q in range(W.shape[1]):
                    score[i, j] += s[i, p] * W[p, q] * m[j, q]
    return score


rng = np.random.default_rng(8)
n, d, D = 5, 2, 7
s = rng.standard_normal((n, d))
W = rng.standard_normal((d, D))
m = rng.standard_normal((n, D))
assert relative_error(scores_slow(s, W, m), s @ W @ m.T) < 1e-14

# a number for i plus a number for j: all queries get the same weights
number_of_query = rng.standard_normal((n, 1))
number_of_key = rng.standard_normal((1, n))
same, _ = softmax_forward(number_of_query + number_of_key)
assert np.allclose(same, same[0])
differ, _ = softmax_forward(s @ W @ m.T)
assert not np.allclose(differ, differ[0])

# %% [markdown]
# ## Three gradients by one rule
#
# The loss is a sum of many terms, one for every $i, j, p, q$:
#
# $$ L = \sum_{ij} G_{ij}\, \text{score}_{ij} = \sum_{ijpq} G_{ij}\, s_{ip}\, W_{pq}\, m_{jq} $$
#
# What is $\partial L/\partial s_{ip}$ for one chosen $i$ and $p$? Only the terms with this $i$ and this $p$ hold it, and in
# each of them its factor is the product of the other three. So the other three stay, and we sum over the letters that are not
# chosen, here $j$ and $q$. For $W_{pq}$ and $m_{jq}$ it goes the same way. **The rule: leave out the factor by which you
# derive, and sum over every letter that it does not have.**
#
# $$ ds_{ip} = \sum_{jq} G_{ij} W_{pq} m_{jq} \qquad dW_{pq} = \sum_{ij} G_{ij} s_{ip} m_{jq}
#    \qquad dm_{jq} = \sum_{ip} G_{ij} s_{ip} W_{pq} $$
#
# `np.einsum` computes such sums exactly as they are written: the letters of each factor, then the letters of the result; it
# sums over all letters that the result lacks.
# %%
G = rng.standard_normal((n, n))  # the upstream gradient


def loss(score):
    return (G * score).sum()


def loss_from_s(s):
    return loss(scores_slow(s, W, m))


ds = np.einsum("ij,pq,jq->ip", G, W, m)
assert scoreboard(("s = S_k", ds, s, loss_from_s))


def loss_from_W(W):
    return loss(scores_slow(s, W, m))


dW = np.einsum("ij,ip,jq->pq", G, s, m)
assert scoreboard(("W_k", dW, W, loss_from_W))


def loss_from_m(m):
    return loss(scores_slow(s, W, m))


dm = np.einsum("ij,ip,pq->jq", G, s, W)
assert scoreboard(("m = S", dm, m, loss_from_m))

# %% [markdown]
# ## The same as matrix products
#
# A product $A B$ has the entries $\sum_p A_{ip} B_{pj}$: it sums over a letter that stands *last* in the first factor and
# *first* in the second. Where a letter stands in the other place, the factor must be transposed. Take
# $ds_{ip} = \sum_{jq} G_{ij} m_{jq} W_{pq}$: $j$ is last in $G$ and first in $m$, so $G\,m$; then $q$ is last in $m$ but last
# in $W$ as well, so $W^\top$. All three:
#
# $$ ds = G\, m\, W^\top \qquad dW = s^\top G\, m \qquad dm = G^\top s\, W $$
#
# A check without computing: the shapes. $ds$ must be $[n, d]$, and $[n, n]\,[n, D]\,[D, d]$ is. Note the $G^\top$ in $dm$:
# row $j$ of $m$ collects from all queries $i$, so from *column* $j$ of $G$.
# %%
assert relative_error(ds, G @ m @ W.T) < 1e-14
assert relative_error(dW, s.T @ G @ m) < 1e-14
assert relative_error(dm, G.T @ s @ W) < 1e-14

# %% [markdown]
# ## The keys first
#
# Three matrices can be multiplied in two orders, with the same result. $(s\,W)\,m^\top$ first makes $n$ rows of length $D$;
# then each of the $n^2$ pairs costs a scalar product of length $D$. $s\,(m\,W^\top)^\top$ first makes the **keys**
# $m\,W^\top$, $n$ rows of length $d$; then each pair costs only $d$ products. As $d = D/K$, a pair becomes $K$ times cheaper;
# the first step costs $n\,d\,D$ either way. With the paper's $D = 128$ and $K = 8$: 16 products per pair in place of 128.
#
# The package does it so. In index notation
#
# $$ key_{jp} = \sum_q m_{jq} W_{pq} \ (F1) \qquad\qquad \text{score}_{ij} = \sum_p s_{ip}\, key_{jp} \ (F2) $$
#
# and the rule gives, last step first:
#
# $$ ds_{ip} = \sum_j G_{ij}\, key_{jp}, \quad dkey_{jp} = \sum_i G_{ij}\, s_{ip} \ (B2) \qquad
#    dm_{jq} = \sum_p dkey_{jp} W_{pq}, \quad dW_{pq} = \sum_j dkey_{jp}\, m_{jq} \ (B1) $$
# %%
key = m @ W.T  # F1 [n,d]
score = s @ key.T  # F2 [n,n]
assert relative_error(score, scores_slow(s, W, m)) < 1e-14


def loss_from_key(key):
    return loss(s @ key.T)


ds = G @ key  # B2, by s
assert scoreboard(("s = S_k", ds, s, loss_from_s))
dkey = G.T @ s  # B2, by key: key j met every query i
assert scoreboard(("key", dkey, key, loss_from_key))
dm = dkey @ W  # B1, by m
assert scoreboard(("m = S", dm, m, loss_from_m))
dW = dkey.T @ m  # B1, by W
assert scoreboard(("W_k", dW, W, loss_from_W))

# %% [markdown]
# With a pencil: one query $s = (1, 2)$, $W = \begin{pmatrix} 1 & 0 & 2 \\ 0 & 1 & -1 \end{pmatrix}$, and two rows
# $m = \begin{pmatrix} 1 & 1 & 0 \\ 0 & 2 & 1 \end{pmatrix}$. The keys are $(1, 1)$ and $(2, 1)$, so the scores are 3 and 4.
# Let $G = (1, -1)$. Then $ds = 1·(1,1) - 1·(2,1) = (-1, 0)$; $dkey$ has the rows $1·(1, 2)$ and $-1·(1, 2)$; and
# $dm = dkey\,W$ has the rows $(1, 2, 0)$ and $(-1, -2, 0)$.
# %%
pencil_s = np.array([[1.0, 2]])
pencil_W = np.array([[1.0, 0, 2], [0, 1, -1]])
pencil_m = np.array([[1.0, 1, 0], [0, 2, 1]])
pencil_G = np.array([[1.0, -1]])
pencil_key = pencil_m @ pencil_W.T
pencil_dkey = pencil_G.T @ pencil_s
print("keys", pencil_key.tolist())
print("scores", (pencil_s @ pencil_key.T).tolist())
print("ds", (pencil_G @ pencil_key).tolist())
assert (pencil_s @ pencil_key.T).tolist() == [[3, 4]]
assert (pencil_G @ pencil_key).tolist() == [[-1, 0]]
assert (pencil_dkey @ pencil_W).tolist() == [[1, 2, 0], [-1, -2, 0]]
assert (pencil_dkey.T @ pencil_m).tolist() == [[1, -1, -1], [2, -2, -2]]

# %% [markdown]
# ## In self-attention, the same S stands on both sides
#
# If $s$ and $m$ are the same array $S$ (with $K = 1$), then $S$ has two uses: as queries and as keys. A number with two uses
# gets the sum: $dS = ds + dm = G\,S\,W^\top + G^\top S\,W$. We look at one gradient alone, then at the sum.
# %%
S = rng.standard_normal((n, D))
square = rng.standard_normal((D, D))


def loss_from_S(S):
    return loss(scores_slow(S, square, S))


as_query = G @ S @ square.T
as_key = G.T @ S @ square
print("S as query only:")
assert not scoreboard(("S", as_query, S, loss_from_S))
print("S as query and as key:")
assert scoreboard(("S", as_query + as_key, S, loss_from_S))

# %% [markdown]
# ## The package: all K spaces in one product
#
# The package holds all $W_k$ in one array `W` $[K, d, D]$. With $K d = D$ they can lie one below the other in one $[D, D]$
# matrix, and one product makes the keys of all spaces: `key = m @ W.reshape(K * d, D).T`. Columns $k d$ to $(k+1) d - 1$ are
# the keys of space $k$. `attention_forward` does this, and the softmax, and the rest of the attention (lesson 09). We take
# out of its cache the weights that it used and compare them with ours; then we compare its gradient of `W` with
# $s^\top G\, m$ for each space. (`P_W` and `Q_W` belong to the perceptrons of lessons 05 and 06 and to lesson 09.)
# %%
K, d = 3, 2
D = K * d
S = rng.standard_normal((n, D))
P_W = rng.standard_normal((D, D))
P_b = rng.standard_normal(D)
Q_W = rng.standard_normal((D, D))
Q_b = rng.standard_normal(D)
W = 0.5 * rng.standard_normal((K, d, D))
offsets = np.array([0, n])  # one history
c, cache = attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, offsets, offsets)
dc = rng.standard_normal(c.shape)
package_dW = attention_backward(dc, cache)[4]

queries = np.maximum(S @ P_W + P_b, 0)
values = np.maximum(S @ Q_W + Q_b, 0)
for k in range(K):
    columns = slice(k * d, (k + 1) * d)
    weights, _ = softmax_forward(scores_slow(queries[:, columns], W[k], S))
    assert relative_error(weights, attention_weights(cache)[0][k]) < 1e-14
    dweights = dc[:, columns] @ values[:, columns].T  # how this G comes about: lesson 09
    G_k = softmax_backward(dweights, weights)
    assert relative_error(queries[:, columns].T @ G_k @ S, package_dW[k]) < 1e-13

# %% [markdown]
# ## The picture
#
# Left: the two orders, drawn to scale for $n = 100$, $D = 128$, $d = 16$. The thick sides are those that meet in the product
# of the pairs: long above, short below. Right: what one space costs. The first step (dashed) is the same for both and grows
# with $n$; the pairs grow with $n^2$.
# %%
with figure("08_bilinear_scores", columns=2, size=(11, 4)) as (fig, axes):
    draw = axes[0]
    size = {"n": 1.0, "d": 0.16, "D": 1.28}  # one hundredth: n = 100, d = 16, D = 128
    for y, title, shared, words in (
        (2.2, "(s W) mᵀ: every pair is a product of length D", "D", ("s W", "mᵀ", "scores")),
        (0, "s (m Wᵀ)ᵀ: every pair is a product of length d", "d", ("s", "keyᵀ", "scores")),
    ):
        draw.text(0, y + 1.45, title, fontsize=11)
        x = 0.3
        for high, wide, word, color in zip(("n", shared, "n"), (shared, "n", "n"), words, ("C0", "C1", "C2")):
            left, bottom = x, y + 0.65 - size[high] / 2
            draw.fill_between([left, left + size[wide]], bottom, bottom + size[high], color=color, alpha=0.4)
            draw.text(left + size[wide] / 2, bottom - 0.05, f"{word}\n{high} × {wide}", ha="center", va="top", fontsize=9)
            x += size[wide] + 0.7
            draw.text(x - 0.35, y + 0.6, {"C0": "·", "C1": "=", "C2": ""}[color], ha="center", fontsize=14)
        left, top, middle = 0.3, y + 1.15, y + 0.65
        draw.plot([left, left + size[shared]], [top, top], "C3", lw=3)
        right = 1 + size[shared]
        draw.plot([right, right], [middle - size[shared] / 2, middle + size[shared] / 2], "C3", lw=3)
    draw.set(xlim=(0, 5.2), ylim=(-0.4, 3.9), aspect="equal")
    draw.axis("off")
    lengths = np.arange(1, 101)
    shared_step = lengths * 16 * 128 / 1e6
    axes[1].plot(lengths, shared_step + lengths**2 * 128 / 1e6, "C3", label="(s W) mᵀ: n d D + n² D")
    axes[1].plot(lengths, shared_step + lengths**2 * 16 / 1e6, "C0", label="keys first: n d D + n² d")
    axes[1].plot(lengths, shared_step, "0.6", ls="--", label="of it n d D, the same in both")
    axes[1].set(xlabel="behaviours n", ylabel="million products in one space", title="the paper's D = 128, K = 8, d = 16")
    axes[1].legend()

# %% [markdown]
# ## What people get wrong
#
# 1. **A transpose is forgotten**: $m\,W$ in place of $m\,W^\top$. With $K = 1$ the matrix is square, every shape fits, and
#    every number is wrong. (So tests use sizes that all differ.)
# 2. **$G$ is not transposed** in $dm$ or $dkey$. It is $[n, n]$, so no shape complains.
# 3. **The score is taken as symmetric.** In general $\text{score}_{ij} \ne \text{score}_{ji}$: after a phone, a cover is a
#    likely next step; after a cover, a phone hardly is.
# 4. **W starts too large.** Nothing divides by $\sqrt{d}$. A score is a sum of $d \cdot D = 2048$ products, and a sum of so
#    many random numbers of size 1 is about $\sqrt{2048} \approx 45$. Then one weight of a row is nearly 1, and the softmax
#    hardly learns (lesson 07).
# %%
for seed in range(10):
    draw = np.random.default_rng(seed)
    S = draw.standard_normal((5, 6))
    square = draw.standard_normal((6, 6))
    G = draw.standard_normal((5, 5))
    scores = S @ square @ S.T
    without_transpose = S @ (S @ square).T
    assert relative_error(without_transpose, scores) > 0.1
    assert relative_error(G @ S @ square, G.T @ S @ square) > 0.1
    assert np.abs(scores - scores.T).max() > 1
print(f"1. m W in place of m Wᵀ: error {relative_error(without_transpose, scores):.2f} in the last of ten draws")
print(f"2. G in place of Gᵀ: error {relative_error(G @ S @ square, G.T @ S @ square):.2f}")
print(f"3. score of (0, 1): {scores[0, 1]:.2f}, of (1, 0): {scores[1, 0]:.2f}")

for size in (1, 0.1, 0.01):
    largest = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        rows = draw.standard_normal((20, 128))
        queries = draw.standard_normal((20, 16))
        W_k = size * draw.standard_normal((16, 128))
        weights, _ = softmax_forward(queries @ W_k @ rows.T)
        largest.append(weights.max(1).mean())
    print(f"4. W of size {size}: largest weight of a row {min(largest):.2f} to {max(largest):.2f} in ten draws (even: 0.05)")
    if size == 1:
        assert min(largest) > 0.8
    if size == 0.01:
        assert max(largest) < 0.2

# %% [markdown]
# ## Your turn
#
# Other ways to score a pair: two matrices in place of one, and a sum inside a tanh. You derive their gradients:
# `python -m lessons.exercises check 08` (from the repository's root).
# %%
print("lesson 08 done: leave out the factor, sum over the letters it lacks; keys first makes a pair K times cheaper")
