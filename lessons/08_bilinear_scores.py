# %% [markdown]
# # Lesson 08. Bilinear scores (4)
#
# *Before it: lessons 05 (products and their gradients), 06 (spaces) and 07 (softmax). About 25 minutes.*
#
# Softmax makes weights from scores. Where do the scores come from? How well behaviour $j$ suits behaviour $i$ must depend on
# both. A sum of a number for $i$ and a number for $j$ is not enough: softmax runs over $j$, and what is the same for all $j$
# cancels. Each $i$ would get the same weights (shown below). So the two must be multiplied. The paper's score is *bilinear*:
# linear in the row that asks while the other is held, and linear in the other while the first is held. The matrix $W_k$ holds a
# factor for each pair of their numbers, and so $W_k$ makes every score that is linear in each of the two:
#
# $$ (4)\qquad a(S_k, S; \theta_k) = S_k\, W_k\, S^\top \qquad S_k: [n, d],\quad W_k: [d, D],\quad S: [n, D] $$
#
# $S$ holds the $n$ behaviours of a history in the common space, $S_k$ the same behaviours seen in space $k$. Row $i$ of
# the result belongs to the behaviour that asks (the *query*; no search is meant), column $j$ to the one that is looked at.
# There is no $1/\sqrt{d}$; $\theta_k$ is $W_k$. Below we write `s` for $S_k$ and `m` (for memory) for $S$: lesson 12 uses
# the formula with other rows in these places.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward, attention_weights, softmax_backward, softmax_forward


# %% [markdown]
# ## The slow version: every pair, every product
#
# $$ \text{score}_{ij} = \sum_p \sum_q s_{ip}\, W_{pq}\, m_{jq} $$
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
s, W, m = rng.standard_normal((n, d)), rng.standard_normal((d, D)), rng.standard_normal((n, D))
assert relative_error(scores_slow(s, W, m), s @ W @ m.T) < 1e-14

sums = (s @ rng.standard_normal(d))[:, None] + m @ rng.standard_normal(D)  # a number for i plus a number for j
weights, _ = softmax_forward(sums)
assert np.allclose(weights, weights[0])  # whoever asks gets the same weights
assert not np.allclose(*softmax_forward(s @ W @ m.T)[0][:2])  # bilinear: not so

# %% [markdown]
# ## The gradients of all three
#
# The loss sees `score` only, and tells us $G_{ij}$ = `dscore[i, j]`. Each product $s_{ip} W_{pq} m_{jq}$ adds to one score.
# Its derivative by one of the three factors is what the other two make. So: **put $G_{ij}$ in the place of the letter that we
# derive by, and sum over every index that this letter does not have.**
#
# $$ ds_{ip} = \sum_{jq} G_{ij} W_{pq} m_{jq} \qquad dW_{pq} = \sum_{ij} s_{ip} G_{ij} m_{jq}
#    \qquad dm_{jq} = \sum_{ip} s_{ip} W_{pq} G_{ij} $$
#
# `np.einsum` takes these sums as they stand. Read as matrices: $ds = G\,m\,W^\top$, $dW = s^\top G\,m$, $dm = G^\top s\,W$.
# %%
G = rng.standard_normal((n, n))  # the upstream gradient, random
ds = np.einsum("ij,pq,jq->ip", G, W, m)
dW = np.einsum("ip,ij,jq->pq", s, G, m)
dm = np.einsum("ip,pq,ij->jq", s, W, G)
assert relative_error(ds, G @ m @ W.T) < 1e-14
assert relative_error(dW, s.T @ G @ m) < 1e-14
assert relative_error(dm, G.T @ s @ W) < 1e-14

# %% [markdown]
# ## In atoms: keys first
#
# Three factors can be multiplied in two orders. $(s W) m^\top$ makes $n$ rows of width $D$ and then $n^2$ products of width
# $D$. $s (m W^\top)^\top$ makes the **keys** $m_j W^\top$, of width $d$, and then $n^2$ products of width $d$ only. As
# $d = D / K$, a pair costs $K$ times less. The result is the same, so is its gradient, now from two small steps:
# %%
key = m @ W.T  # F1 [n,d]: behaviour j as a query in space k will see it
score = s @ key.T  # F2 [n,n]

ds = G @ key  # B2, by s
dkey = G.T @ s  # B2, by key: key_j was met by every query i
dm = dkey @ W  # B1, by m
dW = dkey.T @ m  # B1, by W
assert scoreboard(
    ("key", dkey, key, lambda key: (G * (s @ key.T)).sum()),
    ("s = S_k", ds, s, lambda s: (G * scores_slow(s, W, m)).sum()),
    ("W_k", dW, W, lambda W: (G * scores_slow(s, W, m)).sum()),
    ("m = S", dm, m, lambda m: (G * scores_slow(s, W, m)).sum()),
)
assert relative_error(dW, s.T @ G @ m) < 1e-14 and relative_error(dm, G.T @ s @ W) < 1e-14

# %% [markdown]
# ## The package: all K spaces in one product
#
# `W` is $[K, d, D]$. With $K d = D$ it is also one $[D, D]$ matrix, the $W_k$ one below the other, and one product
# makes the keys of all spaces: `key = m @ W.reshape(K * d, Dm).T` (Dm: width of the memory, here D). Columns
# $k d … (k+1) d - 1$ are the keys of space $k$. We compare the weights that the package used with ours, and its gradient of
# `W` with $s^\top G\,m$ in each space.
# %%
n, K, d = 5, 3, 2
D = K * d
S = rng.standard_normal((n, D))
P_W, Q_W, W = rng.standard_normal((D, D)), rng.standard_normal((D, D)), 0.5 * rng.standard_normal((K, d, D))
P_b, Q_b, offsets = rng.standard_normal(D), rng.standard_normal(D), np.array([0, n])  # one history
c, cache = attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, offsets, offsets)
dc = rng.standard_normal(c.shape)
_, _, _, _, package_dW, _, _ = attention_backward(dc, cache)
S_P, value = np.maximum(S @ P_W + P_b, 0), np.maximum(S @ Q_W + Q_b, 0)  # the perceptrons of (2) and (5)
for k in range(K):
    columns = slice(k * d, (k + 1) * d)
    a, _ = softmax_forward(scores_slow(S_P[:, columns], W[k], S))
    assert relative_error(a, attention_weights(cache)[0][k]) < 1e-14
    dscore = softmax_backward(dc[:, columns] @ value[:, columns].T, a)  # where it comes from: lesson 09
    assert relative_error(S_P[:, columns].T @ dscore @ S, package_dW[k]) < 1e-13

# %% [markdown]
# ## With a pencil
#
# One query, two keys, $d = 2$, $D = 3$. Check each line by hand; then take $G = (1, -1)$ and follow it back.
# %%
ps, pW, pm = np.array([[1, 2]]), np.array([[1, 0, 2], [0, 1, -1]]), np.array([[1, 1, 0], [0, 2, 1]])
pG = np.array([[1, -1]])
pkey = pm @ pW.T
print("key   ", pkey.tolist(), "  score", (ps @ pkey.T).tolist(), "  ds", (pG @ pkey).tolist())
print("dkey  ", (pG.T @ ps).tolist(), "  dW", (pG.T @ ps).T.dot(pm).tolist(), "  dm", (pG.T @ ps @ pW).tolist())
assert (ps @ pkey.T).tolist() == [[3, 4]] and (pG @ pkey).tolist() == [[-1, 0]]
assert (ps.T @ pG @ pm).tolist() == [[1, -1, -1], [2, -2, -2]] and (pG.T @ ps @ pW).tolist() == [[1, 2, 0], [-1, -2, 0]]

# %% [markdown]
# ## The picture
#
# Left: the two orders, drawn to scale for n = 100: the sides that meet in the product of the pairs are thick. Right: what one
# space costs. The step that both orders share (dashed) grows with n, the pairs with n².
# %%
with figure("08_bilinear_scores", columns=2, size=(11, 4)) as (fig, axes):
    draw, size = axes[0], {"n": 1.0, "d": 0.16, "D": 1.28}  # one hundredth: n = 100, d = 16, D = 128
    for y, title, shared, words in (
        (2.2, "(s W) mᵀ: rows as long as D meet in every pair", "D", ("s W", "mᵀ", "scores")),
        (0, "s (m Wᵀ)ᵀ: only rows as short as d do", "d", ("s", "keyᵀ", "scores")),
    ):
        draw.text(0, y + 1.45, title, fontsize=11)
        x = 0.3
        for high, wide, word, color in zip(("n", shared, "n"), (shared, "n", "n"), words, ("C0", "C1", "C2")):
            left, bottom = x, y + 0.65 - size[high] / 2
            draw.fill_between([left, left + size[wide]], bottom, bottom + size[high], color=color, alpha=0.4)
            draw.text(left + size[wide] / 2, bottom - 0.05, f"{word}\n{high} × {wide}", ha="center", va="top", fontsize=9)
            x += size[wide] + 0.7
            draw.text(x - 0.35, y + 0.6, {"C0": "·", "C1": "=", "C2": ""}[color], ha="center", fontsize=14)
        first, second = (0.3, y + 0.65), (1 + size[shared], y + 0.65)
        draw.plot([first[0], first[0] + size[shared]], [y + 1.15] * 2, "C3", lw=3)
        draw.plot([second[0]] * 2, [y + 0.65 - size[shared] / 2, y + 0.65 + size[shared] / 2], "C3", lw=3)
    draw.set(xlim=(0, 5.2), ylim=(-0.4, 3.9), aspect="equal")
    draw.axis("off")
    lengths = np.arange(1, 101)
    for order, width, color in (("(s W) mᵀ: n d D + n² D", 128, "C3"), ("keys first: n d D + n² d", 16, "C0")):
        axes[1].plot(lengths, (lengths * 16 * 128 + lengths**2 * width) / 1e6, color, label=order)
    axes[1].plot(lengths, lengths * 16 * 128 / 1e6, "0.6", ls="--", label="of it n d D, the same in both")
    axes[1].set(xlabel="behaviours n", ylabel="million products in one space", title="the paper's D = 128, K = 8, d = 16")
    axes[1].legend()

# %% [markdown]
# ## What people get wrong
# %%
square = rng.standard_normal((D, D))  # 1. a transpose forgotten: with K = 1 and d = D every shape fits, and every number is wrong
print(f"1. m W in place of m Wᵀ: error {relative_error(S @ (S @ square).T, S @ (S @ square.T).T):.2f}, and no message")
assert relative_error(S @ (S @ square).T, S @ (S @ square.T).T) > 0.1

G, both = rng.standard_normal((n, n)), S @ square @ S.T  # 2. S stands in the formula twice: its two gradients add up
f = lambda S: (G * (S @ square @ S.T)).sum()
print("2. only the first S, then both:")
assert not scoreboard(("S, first", G @ S @ square.T, S, f)) and scoreboard(("S, both", G @ S @ square.T + G.T @ S @ square, S, f))

print(f"3. score_ij is not score_ji: {both[0, 1]:.2f} and {both[1, 0]:.2f}")  # who asks matters
assert abs(both[0, 1] - both[1, 0]) > 0.1

draw = np.random.default_rng(0)  # 4. large scores: W must start small, for nothing divides by √d
wide, W_k = draw.standard_normal((20, 128)), draw.standard_normal((16, 128))  # the paper's d = 16, D = 128
for deviation in (1, 0.01):
    a, _ = softmax_forward(wide[:, :16] @ (deviation * W_k) @ wide.T)
    print(f"4. W of size {deviation}: the largest weight of a row is on average {a.max(1).mean():.2f} (evenly: 0.05)")
    assert (a.max(1).mean() > 0.8) == (deviation == 1)

# %% [markdown]
# ## Your turn
#
# The three gradients, with other names and shapes: `python -m lessons.exercises check 08` (from the repository's root).
# %%
print("lesson 08 done: three gradients of S_k W_k Sᵀ by one rule; keys first makes a pair K times cheaper")
