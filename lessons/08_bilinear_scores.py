# %% [markdown]
# # Lesson 08. Scores of pairs: the bilinear form (4)
#
# *Before it: lesson 07 (softmax). Lesson 02 explains numeric derivatives; its conventions are repeated below. About 50 minutes.*
#
# Softmax makes weights from scores (lesson 07). Where do the scores come from? This lesson computes them. Each behaviour of a
# user is compared with each one, and the score says how well they fit. The two have different parts: behaviour $i$ asks, and
# its row is the **query**; behaviour $j$ is compared with it, and its row is the **key**. Score $x_{ij}$ is that of query $i$
# with key $j$.
#
# ## The idea, with small numbers
#
# Why not add a number for query $i$ and a number for key $j$? Say three keys have the numbers 0, 2, 1. Query A has the number
# 5, so its scores are 5, 7, 6. Query B has 1: its scores are 1, 3, 2. Both rows have the same differences, and a softmax sees
# differences only. So A and B would get the same weights, whoever they are. A sum cannot make the weights depend on the query.
#
# Something must bring the two rows together before they are added up. There are several ways (an exercise at the end puts the
# sum into a tanh). The paper takes the simplest: it *multiplies*. Let query A be the row (1, 2), and keys the rows (1, 1) and
# (2, −1). Their scalar products are $1·1 + 2·1 = 3$ and $1·2 + 2·(−1) = 0$: A prefers the first key. Query B = (2, −1) has
# $1$ and $5$: B prefers the second. Now the query matters. To let the model learn which number of the one should meet which
# number of the other, and to allow rows of different length, there is a matrix $W$ between them.
#
# "The paper" is Zhou et al., *ATRank: An Attention-Based User Behavior Modeling Framework for Recommendation*, AAAI 2018.
#
# ## The equation
#
# The paper has $K$ latent spaces (lesson 06), and $k$ counts them. Here one space is enough, so we leave out the $k$: $s = S_k$
# and $W = W_k$.
#
# $$ (4)\qquad x = S_k\, W_k\, S^\top = s\, W S^\top, \qquad x_{ij} = \sum_p \sum_q s_{ip}\, W_{pq}\, S_{jq} $$
#
# $x$ are the scores, $[n, n]$. (The paper writes $a(S_k, S; \theta_k)$ for them and $\theta_k$ for $W_k$. In this course $a$ are
# the weights that softmax makes of them.) $S$ is $[n, D]$: a row of $D$ numbers for each of the $n$ behaviours. $s$ is $[n, d]$:
# the queries, the same behaviours in the latent space, where a row is shorter. $W$ is $[d, D]$ and is learned. In the model
# $d = D/K$; one space alone works with any $d$, so below we take sizes that all differ. The index letters: $i$ counts queries,
# $j$ counts keys, $p$ runs over $d$ numbers and $q$ over $D$ numbers.
#
# The form is called *bilinear*: with $S$ held fixed it is linear in $s$, and with $s$ held fixed it is linear in $S$. There is
# no factor $1/\sqrt{d}$, which other attention models have; below we see what follows from that.
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. ($d$ before a name always means this; $d$ alone is the length of a
# query.) What comes after the scores gives us $dx$, the *upstream gradient* $[n, n]$. To test the layer alone, $dx$ is random
# and $L = \sum_{ij} dx_{ij}\, x_{ij}$ (random, because equal numbers hide mistakes: lesson 02). `relative_error` is the largest
# difference of two arrays divided by their largest entry. `scoreboard((name, gradient, array, f))` moves each entry of the
# array a little up and down, in the array itself, watches the number `f(array)`, and prints the relative error of our gradient.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import softmax_forward


# %% [markdown]
# ## The slow version: every pair, every product
# %%
def scores_slow(s, W, S):  # [n,d], [d,D], [n,D] -> [n,n]
    x = np.zeros((len(s), len(S)))
    for i in range(len(s)):
        for j in range(len(S)):
            for p in range(W.shape[0]):
                for q in range(W.shape[1]):
                    x[i, j] += s[i, p] * W[p, q] * S[j, q]
    return x


rng = np.random.default_rng(8)
n, d, D = 5, 2, 7
s = rng.standard_normal((n, d))  # drawn for itself: how s comes from S does not matter yet
W = rng.standard_normal((d, D))
S = rng.standard_normal((n, D))
assert relative_error(scores_slow(s, W, S), s @ W @ S.T) < 1e-14

# a number for query i plus a number for key j: all queries get the same weights
number_of_query = rng.standard_normal((n, 1))
number_of_key = rng.standard_normal((1, n))
same, _ = softmax_forward(number_of_query + number_of_key)
assert np.allclose(same, same[0])
differ, _ = softmax_forward(s @ W @ S.T)
assert not np.allclose(differ, differ[0])

# %% [markdown]
# ## Three gradients by one rule
#
# The loss is a sum of many terms, one for every $i, j, p, q$:
#
# $$ L = \sum_{ij} dx_{ij}\, x_{ij} = \sum_{ijpq} dx_{ij}\, s_{ip}\, W_{pq}\, S_{jq} $$
#
# What is $\partial L/\partial s_{ip}$ for one chosen $i$ and $p$? Only the terms with this $i$ and this $p$ hold it, and in
# each of them its factor is the product of the other three. So the other three stay, and we sum over the letters that are not
# chosen, here $j$ and $q$. For $W_{pq}$ and $S_{jq}$ it goes the same way.
#
# **The rule: to get $dA$ for an array $A$ that stands once in each term, leave $A$ out, and sum over every letter that $A$ does
# not have.** (An array that stands twice, as two factors, gets one such gradient for each place; below we add them.)
#
# $$ ds_{ip} = \sum_{jq} dx_{ij} W_{pq} S_{jq} \qquad dW_{pq} = \sum_{ij} dx_{ij} s_{ip} S_{jq}
#    \qquad dS_{jq} = \sum_{ip} dx_{ij} s_{ip} W_{pq} $$
#
# `np.einsum` computes such sums exactly as they are written: the letters of each factor, then the letters of the result; it
# sums over all letters that the result lacks.
# %%
dx = rng.standard_normal((n, n))  # the upstream gradient


def loss(x):
    return (dx * x).sum()


def loss_from_s(s):
    return loss(scores_slow(s, W, S))


ds = np.einsum("ij,pq,jq->ip", dx, W, S)
assert scoreboard(("s", ds, s, loss_from_s))


def loss_from_W(W):
    return loss(scores_slow(s, W, S))


dW = np.einsum("ij,ip,jq->pq", dx, s, S)
assert scoreboard(("W", dW, W, loss_from_W))


def loss_from_S(S):
    return loss(scores_slow(s, W, S))


dS = np.einsum("ij,ip,pq->jq", dx, s, W)
assert scoreboard(("S", dS, S, loss_from_S))

# %% [markdown]
# ## The same as matrix products
#
# A product $A B$ has the entries $\sum_p A_{ip} B_{pj}$: the letter of the sum stands *last* in the first factor and *first* in
# the second. To write a sum as a product of matrices, put the factors in a chain:
#
# * Begin with the factor that holds the first letter of the result, and end with the one that holds the last letter.
# * Neighbours must share a letter, and it must stand at the place where they meet. If it does not, transpose the factor.
#
# **$ds_{ip}$** begins with $i$, which $dx_{ij}$ has, and ends with $p$, which $W_{pq}$ has. So the chain is $dx, S, W$. The
# letters must read $ij \cdot jq \cdot qp$. $dx$ is $ij$ and $S$ is $jq$, as they should be; $W$ is $pq$, so we take $W^\top$:
# $ds = dx\, S\, W^\top$.
#
# **$dW_{pq}$** begins with $p$, which $s_{ip}$ has, and ends with $q$, which $S_{jq}$ has. The chain is $s, dx, S$, and must read
# $pi \cdot ij \cdot jq$. $s$ is $ip$, so we take $s^\top$: $dW = s^\top dx\, S$.
#
# **$dS_{jq}$** begins with $j$, which $dx_{ij}$ has, and ends with $q$, which $W_{pq}$ has. It must read
# $ji \cdot ip \cdot pq$, so $dS = dx^\top s\, W$. Row $j$ of $S$ collects from all queries $i$, so from *column* $j$ of $dx$.
#
# $$ ds = dx\, S\, W^\top \qquad dW = s^\top dx\, S \qquad dS = dx^\top s\, W $$
#
# The shapes are a check without computing: $ds$ must be $[n, d]$, and $[n, n]\,[n, D]\,[D, d]$ is. For a product of two
# matrices $Y = A B$ the chain gives $dA = dY\, B^\top$ and $dB = A^\top dY$: lesson 09 uses this form.
# ($dA_{ip} = \sum_j dY_{ij} B_{pj}$, $dB_{pj} = \sum_i A_{ip}\, dY_{ij}$.)
# %%
assert relative_error(ds, dx @ S @ W.T) < 1e-14
assert relative_error(dW, s.T @ dx @ S) < 1e-14
assert relative_error(dS, dx.T @ s @ W) < 1e-14

# %% [markdown]
# ## The keys first
#
# Three matrices can be multiplied in two orders, with the same result. $(s\,W)\,S^\top$ first makes $n$ rows of length $D$;
# then each of the $n^2$ pairs costs a scalar product of length $D$. $s\,(S\,W^\top)^\top$ first makes the **keys**
# $S\,W^\top$, $n$ rows of length $d$; then each pair costs only $d$ products. (Both orders give the same scores, for
# $(S W^\top)^\top = W S^\top$: always $(A B)^\top = B^\top A^\top$.) As $d = D/K$, a pair becomes $K$ times cheaper; the
# first step costs $n\,d\,D$ either way. With the paper's $D = 128$ and $K = 8$: 16 products per pair in place of 128.
#
# The package does it so. In index notation
#
# $$ key_{jp} = \sum_q S_{jq} W_{pq} \ (F1) \qquad\qquad x_{ij} = \sum_p s_{ip}\, key_{jp} \ (F2) $$
#
# and the rule gives, last step first (B2 is the way back through F2):
#
# $$ ds_{ip} = \sum_j dx_{ij}\, key_{jp}, \quad dkey_{jp} = \sum_i dx_{ij}\, s_{ip} \ (B2) \qquad
#    dS_{jq} = \sum_p dkey_{jp} W_{pq}, \quad dW_{pq} = \sum_j dkey_{jp}\, S_{jq} \ (B1) $$
# %%
key = S @ W.T  # F1 [n,d]
x = s @ key.T  # F2 [n,n]
assert relative_error(x, scores_slow(s, W, S)) < 1e-14


def loss_from_key(key):
    return loss(s @ key.T)


ds = dx @ key  # B2, by s
assert scoreboard(("s", ds, s, loss_from_s))
dkey = dx.T @ s  # B2, by key: key j meets every query i
assert scoreboard(("key", dkey, key, loss_from_key))
dS = dkey @ W  # B1, by S
assert scoreboard(("S", dS, S, loss_from_S))
dW = dkey.T @ S  # B1, by W
assert scoreboard(("W", dW, W, loss_from_W))

# %% [markdown]
# With a pencil: one query $s = (1, 2)$, $W = \begin{pmatrix} 1 & 0 & 2 \\ 0 & 1 & -1 \end{pmatrix}$, and two rows
# $S = \begin{pmatrix} 1 & 1 & 0 \\ 0 & 2 & 1 \end{pmatrix}$. The keys are $(1, 1)$ and $(2, 1)$, so the scores are 3 and 4.
# Let $dx = (1, -1)$. Then $ds = 1·(1,1) - 1·(2,1) = (-1, 0)$; $dkey$ has the rows $1·(1, 2)$ and $-1·(1, 2)$; and
# $dS = dkey\,W$ has the rows $(1, 2, 0)$ and $(-1, -2, 0)$.
# %%
pencil_s = np.array([[1.0, 2]])
pencil_W = np.array([[1.0, 0, 2], [0, 1, -1]])
pencil_S = np.array([[1.0, 1, 0], [0, 2, 1]])
pencil_dx = np.array([[1.0, -1]])
pencil_key = pencil_S @ pencil_W.T
pencil_dkey = pencil_dx.T @ pencil_s
print("keys", pencil_key.tolist())
print("scores", (pencil_s @ pencil_key.T).tolist())
print("ds", (pencil_dx @ pencil_key).tolist())
assert (pencil_s @ pencil_key.T).tolist() == [[3, 4]]
assert (pencil_dx @ pencil_key).tolist() == [[-1, 0]]
assert (pencil_dkey @ pencil_W).tolist() == [[1, 2, 0], [-1, -2, 0]]
assert (pencil_dkey.T @ pencil_S).tolist() == [[1, -1, -1], [2, -2, -2]]

# %% [markdown]
# ## In self-attention, queries and keys come from the same S
#
# So far $s$ and $S$ were two arrays. Let now the queries be $S$ itself (so $d = D$, with $K = 1$). Then $S$ stands twice in each
# term, as query and as key. A number with two uses gets the sum: $dS = dx\,S\,W^\top + dx^\top S\,W$. We look at one gradient
# alone, then at the sum.
# %%
square = rng.standard_normal((D, D))


def loss_of_both(S):
    return loss(scores_slow(S, square, S))


as_query = dx @ S @ square.T
as_key = dx.T @ S @ square
print("S as query only:")
assert not scoreboard(("S", as_query, S, loss_of_both))
print("S as query and as key:")
assert scoreboard(("S", as_query + as_key, S, loss_of_both))

# %% [markdown]
# ## The package: the keys of all spaces in one product
#
# The package holds all $W_k$ in one array `W` $[K, d, D]$. With $K d = D$ they can lie one below the other in one $[D, D]$
# matrix, and one product makes the keys of all spaces. Columns $k d$ to $(k+1) d - 1$ are the keys of space $k$. (The package
# does this inside its function for the whole attention. Lesson 09 compares its scores and its $dW$ with ours.)
# %%
K, d = 3, 2
D = K * d
S = rng.standard_normal((n, D))
W = rng.standard_normal((K, d, D))
all_keys = S @ W.reshape(K * d, D).T  # [n,D]
for k in range(K):
    columns = slice(k * d, (k + 1) * d)
    assert relative_error(all_keys[:, columns], S @ W[k].T) < 1e-14

# %% [markdown]
# ## The picture
#
# Left: the two orders, drawn to scale for $n = 100$, $D = 128$, $d = 16$. A score is a row of the left matrix times a column of
# the right one. The thick sides show how long these are: $D$ above, $d$ below. Right: what one space costs. The first step
# (dashed) is the same for both and grows with $n$; the pairs grow with $n^2$.
# %%
with figure("08_bilinear_scores", columns=2, size=(11, 4)) as (fig, axes):
    draw = axes[0]
    size = {"n": 1.0, "d": 0.16, "D": 1.28}  # one hundredth: n = 100, d = 16, D = 128
    for y, title, shared, words in (
        (2.2, "(s W) Sᵀ: every pair is a product of length D", "D", ("s W", "Sᵀ", "scores")),
        (0, "s (S Wᵀ)ᵀ: every pair is a product of length d", "d", ("s", "keyᵀ", "scores")),
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
    axes[1].plot(lengths, shared_step + lengths**2 * 128 / 1e6, "C3", label="(s W) Sᵀ: n d D + n² D")
    axes[1].plot(lengths, shared_step + lengths**2 * 16 / 1e6, "C0", label="keys first: n d D + n² d")
    axes[1].plot(lengths, shared_step, "0.6", ls="--", label="of it n d D, the same in both")
    axes[1].set(xlabel="behaviours n", ylabel="million products in one space", title="the paper's D = 128, K = 8, d = 16")
    axes[1].legend()

# %% [markdown]
# ## What people get wrong
#
# 1. **A transpose is forgotten**: $S\,W$ in place of $S\,W^\top$. With $K = 1$ the matrix is square, every shape fits, and
#    every number is wrong. (So tests use sizes that all differ.)
# 2. **$dx$ is not transposed** in $dS$ or $dkey$. It is $[n, n]$, so no shape complains.
# 3. **The score is taken as symmetric.** In general $x_{ij} \ne x_{ji}$: after a phone, a cover is a
#    likely next step; after a cover, a phone hardly is.
# 4. **W starts too large.** Nothing divides by $\sqrt{d}$. A score is a sum of $d \cdot D = 2048$ products. If their factors are
#    random with mean 0 and variance 1, plus and minus cancel in part: not the sizes add up but the variances. (The variance is
#    the mean of the squares, if the mean is 0; its square root is the typical size. A product of independent numbers of
#    variance 1 has variance 1 too.) The sum has the variance 2048, so its size is about $\sqrt{2048} \approx 45$. Then one
#    weight of a row is nearly 1, and the softmax hardly learns (lesson 07).
# %%
for seed in range(10):
    draw = np.random.default_rng(seed)
    S = draw.standard_normal((5, 6))
    square = draw.standard_normal((6, 6))
    dx = draw.standard_normal((5, 5))
    scores = S @ square @ S.T
    without_transpose = S @ (S @ square).T
    assert relative_error(without_transpose, scores) > 0.1
    assert relative_error(dx @ S @ square, dx.T @ S @ square) > 0.1
    assert np.abs(scores - scores.T).max() > 1
print(f"1. S W in place of S Wᵀ: error {relative_error(without_transpose, scores):.2f} in the last of ten draws")
print(f"2. dx in place of dxᵀ: error {relative_error(dx @ S @ square, dx.T @ S @ square):.2f}")
print(f"3. score of (0, 1): {scores[0, 1]:.2f}, of (1, 0): {scores[1, 0]:.2f}")

for size in (1, 0.1, 0.01):
    largest, spread = [], []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        rows = draw.standard_normal((20, 128))
        queries = draw.standard_normal((20, 16))
        W_k = size * draw.standard_normal((16, 128))
        scores = queries @ W_k @ rows.T
        weights, _ = softmax_forward(scores)
        spread.append(scores.std())
        largest.append(weights.max(1).mean())
    print(f"4. W of size {size}: scores of size {np.mean(spread):.2g}, largest of a row's 20 weights", end=" ")
    print(f"{min(largest):.2f} to {max(largest):.2f} in ten draws (all equal: 1/20 = 0.05)")
    if size == 1:
        assert 40 < np.mean(spread) < 50  # about √2048
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
