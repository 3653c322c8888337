# %% [markdown]
# # Lesson 06. Latent spaces (2)
#
# *Before it: lesson 05 (the perceptron and its gradient). About 20 minutes.*
#
# "Which of my behaviours are alike?" has many answers: alike in category, in price, in time. So the paper looks at $S$
# from $K$ sides. Each **latent space** is a perceptron of its own, from the $D$ columns of $S$ to $d = D/K$ columns:
#
# $$ (2)\quad S_k = F_{P_k}(S) = \mathrm{relu}(S\,P_k + b_k), \qquad k = 0 … K-1, \qquad P_k: [D, d] $$
#
# Attention is then made in each space by itself, and the $K$ results stand side by side again: $K \cdot d = D$ columns.
# (The paper counts spaces from 1; we, as the code, from 0.)

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.config import Config
from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_forward, attention_weights, join_spaces, split_spaces
from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward

# %% [markdown]
# ## The slow version: K small products
# %%
rng = np.random.default_rng(6)
n, K, d = 5, 3, 2
D = K * d
S, W, b = rng.standard_normal((n, D)), rng.standard_normal((K, D, d)), rng.standard_normal((K, d))
S_k = np.array(
    [[[max(b[k, j] + sum(S[i, c] * W[k, c, j] for c in range(D)), 0) for j in range(d)] for i in range(n)] for k in range(K)]
)
print("S", S.shape, " S_k of all spaces", S_k.shape)

# %% [markdown]
# ## The same as one product
#
# Put the $K$ matrices, `W[k]` in the code, side by side: $P = [P_0 \mid … \mid P_{K-1}]$ is $[D, D]$. A column of a product
# depends on one column of the right factor only, so $S P$ holds all $S P_k$ side by side. **Space k is the
# columns k·d up to, not including, (k+1)·d.** It is lesson 05's perceptron: one product, and nothing new to derive.
# %%
P, P_b = np.concatenate(list(W), axis=1), b.reshape(D)
side_by_side, cache = perceptron_forward(S, P, P_b)
assert relative_error(split_spaces(side_by_side, K), S_k) < 1e-14  # [n,D] -> [K,n,d], the package's way to look at spaces
assert np.array_equal(join_spaces(split_spaces(side_by_side, K)), side_by_side)
for k in range(K):
    assert np.array_equal(split_spaces(side_by_side, K)[k], side_by_side[:, k * d : (k + 1) * d])
assert P.size == K * D * d == D * D  # K spaces of width D/K cost exactly what one space of width D costs

# %% [markdown]
# ## The gradient
#
# Space by space, with lesson 05: $dz_k = dS_k \circ [S_k > 0]$, $dP_k = S^\top dz_k$, $db_k = \sum_i dz_{k,i}$. But $S$ is
# used by all spaces, so what flows back from them adds up: $dS = \sum_k dz_k P_k^\top$.
# %%
dS_k = rng.standard_normal((K, n, d))
dW, db, dS = np.zeros_like(W), np.zeros_like(b), np.zeros_like(S)
for k in range(K):
    dz = dS_k[k] * (S_k[k] > 0)
    dW[k] = S.T @ dz
    db[k] = dz.sum(0)
    dS += dz @ W[k].T  # every space reads S

spaces = lambda S, W, b: np.maximum(S @ W + b[:, None], 0)  # NumPy runs over the K by itself: [K,n,d]
loss = lambda S, W, b: (dS_k * spaces(S, W, b)).sum()
assert scoreboard(
    ("W of a space", dW, W, lambda W: loss(S, W, b)),
    ("b of a space", db, b, lambda b: loss(S, W, b)),
    ("S", dS, S, lambda S: loss(S, W, b)),
)

# %% [markdown]
# Collapsed to one line: bring the upstream side by side (`join_spaces`), then one perceptron backward. The sum over the
# spaces is now inside the product $dz\,P^\top$, whose inner index runs over all $K \cdot d$ columns.
# %%
dS_line, dP, dP_b = perceptron_backward(join_spaces(dS_k), cache)
assert relative_error(dS_line, dS) < 1e-14
assert relative_error(dP, np.concatenate(list(dW), axis=1)) < 1e-14 and relative_error(dP_b, db.reshape(D)) < 1e-14

# %% [markdown]
# ## With a pencil: where is what?
#
# Two behaviours, two spaces of width 2. The number 110 means: behaviour 1, space 1, column 0. Splitting may move numbers,
# but each must stay with its behaviour and its space.
# %%
names = np.array([[0, 1, 10, 11], [100, 101, 110, 111]])
print("side by side\n", names, "\nspace 0\n", split_spaces(names, 2)[0], "\nspace 1\n", split_spaces(names, 2)[1])
assert split_spaces(names, 2).tolist() == [[[0, 1], [100, 101]], [[10, 11], [110, 111]]]

# %% [markdown]
# ## What different spaces can do
#
# A history of six behaviours. $S$ has three columns for the category (tea, books, bikes) and one for how recent it is.
# We choose the weights by hand. (4), which the lessons on attention derive, scores a pair by $s_k W_k m^\top$, with a
# second matrix per space, $W_k$ $[d, D]$. **Space 0** asks "same category?", **space 1** asks "how recent?". A softmax
# turns a row of scores into weights with sum 1.
#
# One space can hold both questions too, but it has *one* row of weights for all its columns: it adds the two scores and
# finds "recent and of my category". The model then cannot read "all my tea" and "the last thing I did" at the same time.
# %%
category, recent = np.array([0, 1, 0, 2, 0, 1]), np.arange(6) / 5
history = np.concatenate([np.eye(3)[category], recent[:, None], np.zeros((6, 4))], axis=1)  # [6,8]: D = 8
whole = np.array([0, 6])  # one history: rows 0 to 5


def weights_of(K, question):
    """Attention weights [K,6,6] with identity projections, a constant 1 in column 7, and (4)'s matrix from `question`."""
    D = 8
    constant = np.append(np.zeros(7), 1)
    W = np.zeros((K, D // K, D))
    question(W)
    _, cache = attention_forward(history, history, np.eye(D), constant, W, np.eye(D), np.zeros(D), whole, whole)
    return attention_weights(cache)[0]


def two(W):
    W[0, range(3), range(3)] = 5  # space 0 = columns 0 … 3: the three categories, each with itself
    W[1, 3, 3] = 8  # space 1 = columns 4 … 7: the constant of the query with how recent the other is


def one(W):
    W[0, range(3), range(3)] = 5
    W[0, 7, 3] = 8


apart, together = weights_of(2, two), weights_of(1, one)
tea = category == 0
print("oldest tea reads:  space 0", apart[0, 0].round(2), "\n                   space 1", apart[1, 0].round(2))
print("                   one space", together[0, 0].round(2))
assert np.allclose(apart[0, 0, tea], apart[0, 0, 0]) and apart[0, 0, tea].sum() > 0.95  # all tea, evenly
assert apart[1, :, 5].min() > 0.75  # the last behaviour, whatever its category
assert together[0, 0, 0] < 0.01 and together[0, 0, 5] < 0.05  # neither: only the last tea is left
with figure("06_latent_spaces", columns=3, size=(12, 4)) as (fig, axes):
    label = [f"{('tea', 'book', 'bike')[c]}, day {i}" for i, c in enumerate(category)]
    for axis, A, title in zip(
        axes, (apart[0], apart[1], together[0]), ("space 0: same category", "space 1: the latest", "one space for both questions")
    ):
        axis.imshow(A, cmap="Blues", vmin=0, vmax=1.1)
        for i, j in np.ndindex(6, 6):
            if A[i, j] > 0.005:
                colour = "w" if A[i, j] > 0.6 else "k"
                axis.text(j, i, f"{A[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=8, color=colour)
        axis.set(title=title, xticks=range(6), yticks=range(6), yticklabels=label if axis is axes[0] else [])
        axis.set_xticklabels(label, rotation=40, ha="right")
        axis.spines[:].set_visible(False)
    axes[0].set_ylabel("who reads")
    axes[1].set_xlabel("who is read; every row sums to 1")

# %% [markdown]
# ## What people get wrong
# %%
scrambled = names.reshape(2, 2, 2)  # 1. reshape alone: [n,D] -> [K,n,d] without moving the axes
print("1. reshape(K, n, d): 'space 0' is", scrambled[0].tolist(), "- both spaces of behaviour 0, and no behaviour 1")
assert not np.array_equal(scrambled, split_spaces(names, 2))

back = split_spaces(names, 2).reshape(2, 4)  # 2. the same on the way back
print("2. joining with reshape alone:", back.tolist(), "- rows are spaces now, not behaviours")
assert not np.array_equal(back, names)

dz = dS_k * (S_k > 0)
last_only = dz[-1] @ W[-1].T  # 3. dS = … in the loop instead of dS += …
print(f"3. only the last space's road back to S: error {relative_error(last_only, dS):.2f}")
assert relative_error(last_only, dS) > 0.1

other = W.transpose(1, 2, 0).reshape(D, D)  # 4. the columns in another order: column j·K + k
error = relative_error(split_spaces(perceptron_forward(S, other, P_b)[0], K), S_k)
print(f"4. weights saved space-inner and read space-outer: error {error:.2f}, with every shape right")
assert other.shape == P.shape and error > 0.1

try:  # 5. a width that does not divide
    Config(width=100, spaces=8)
except ValueError as refused:
    print("5.", refused)
else:
    raise AssertionError("it was accepted")

# %% [markdown]
# ## Your turn
#
# Write the backward pass of all spaces at once: `python -m lessons.exercises check 06` (from the repository's root).
# %%
print("lesson 06 done: K projections are one product; space k is the columns k·d … (k+1)·d − 1; spaces ask different questions")
