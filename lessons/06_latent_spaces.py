# %% [markdown]
# # Lesson 06. Latent spaces: several views of the same behaviours (2)
#
# *Before it: lesson 05 (the perceptron and its gradient). About 35 minutes.*
#
# "Which of my behaviours belong together?" has more than one answer. A user has bought tea, a book, tea again, a bicycle. By
# category the two teas belong together; by time the last two purchases do. One row of weights cannot say both. So the paper
# makes several views of the behaviours, called **latent spaces**, and lets attention work in each of them apart. This lesson
# makes the views; what attention does in them is the subject of lessons 07 to 09.
#
# ## The idea, with small numbers
#
# A behaviour is a row of $D = 4$ numbers. With $K = 2$ spaces, each space gets a row of $d = D/K = 2$ numbers, made from
# *all* four by a perceptron of its own. Side by side the two results have 4 numbers again.
#
# To see what is where, name the numbers: 110 shall mean behaviour 1, space 1, column 0. Two behaviours, side by side:
#
# $$ \begin{pmatrix} 000 & 001 & 010 & 011 \\ 100 & 101 & 110 & 111 \end{pmatrix} \qquad
#    \text{space 0:} \begin{pmatrix} 000 & 001 \\ 100 & 101 \end{pmatrix} \qquad
#    \text{space 1:} \begin{pmatrix} 010 & 011 \\ 110 & 111 \end{pmatrix} $$
#
# Space 0 is the left half of the columns, space 1 the right half; every behaviour is in both.
#
# ## The equation
#
# $$ (2)\quad S_k = F_{P_k}(S) = \mathrm{relu}(S\,P_k + b_k), \qquad k = 0 \dots K-1, \qquad P_k: [D, d], \quad b_k: [d] $$
#
# $S$ is $[n, D]$: the $n$ behaviours of a history in the common space of lesson 05. $S_k$ is $[n, d]$: the same behaviours in
# space $k$. (The paper counts spaces from 1; we, as Python, from 0.) The paper allows spaces of different widths; the package
# has equal ones.
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. $dS_k$ is given by the layers above, the *upstream gradient*; to test
# this layer alone we draw it at random and take $L = \sum dS_k \circ S_k$, where $\circ$ is the product entry by entry, `*`.
# $[\text{condition}]$ is 1 where the condition holds, else 0. `relative_error` is the largest difference of two arrays
# divided by their largest entry. `scoreboard((name, gradient, array, f))` compares a gradient with numeric derivatives of
# `f(array)`. (Lesson 02 explains all of this.)

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.config import Config
from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_forward, attention_weights, join_spaces, split_spaces
from atrank_np.layers.perceptron import perceptron_backward, perceptron_forward


# %% [markdown]
# ## The slow version: one space after the other
#
# $$ S_{k,ij} = \max\Big(b_{kj} + \sum_c S_{ic}\, W_{kcj},\ 0\Big) $$
#
# In code the matrices $P_k$ are `W[k]`, all in one array $[K, D, d]$.
# %%
def spaces_slow(S, W, b):  # [n,D], [K,D,d], [K,d] -> [K,n,d]
    K, D, d = W.shape
    S_k = np.zeros((K, len(S), d))
    for k in range(K):
        for i in range(len(S)):
            for j in range(d):
                z = b[k, j]
                for c in range(D):
                    z += S[i, c] * W[k, c, j]
                S_k[k, i, j] = max(z, 0)
    return S_k


rng = np.random.default_rng(6)
n, K, d = 5, 3, 2
D = K * d
S = rng.standard_normal((n, D))
W = rng.standard_normal((K, D, d))
b = rng.standard_normal((K, d))
S_k = spaces_slow(S, W, b)
print("S", S.shape, " S_k of all spaces", S_k.shape)

# %% [markdown]
# ## The gradient, one rule at a time
#
# In one space this is the perceptron of lesson 05, so we know the rules. Let $z_k = S\,W_k + b_k$.
#
# **The relu.** $dz_{k,ij} = dS_{k,ij}\,[S_{k,ij} > 0]$.
# %%
dS_k = rng.standard_normal(S_k.shape)  # the upstream gradient


def loss(S_k):
    return (dS_k * S_k).sum()


def loss_from_z(z):  # [K,n,d]
    return loss(np.maximum(z, 0))


z = S @ W + b[:, None]  # NumPy makes the product for each k: [K,n,d]
assert relative_error(np.maximum(z, 0), S_k) < 1e-14
dz = dS_k * (S_k > 0)
assert scoreboard(("z", dz, z, loss_from_z))

# %% [markdown]
# **The matrices and biases.** Those of space $k$ are used in space $k$ only:
#
# $$ dW_{kcj} = \sum_i S_{ic}\, dz_{k,ij} \qquad db_{kj} = \sum_i dz_{k,ij} $$
# %%
dW = np.zeros_like(W)
db = np.zeros_like(b)
for k in range(K):
    dW[k] = S.T @ dz[k]
    db[k] = dz[k].sum(0)


def loss_from_W(W):
    return loss_from_z(S @ W + b[:, None])


def loss_from_b(b):
    return loss_from_z(S @ W + b[:, None])


assert scoreboard(("W", dW, W, loss_from_W))
assert scoreboard(("b", db, b, loss_from_b))

# %% [markdown]
# **The input.** $S_{ic}$ is used by *every* space. Several uses add up, so there is a sum over $k$ as well as over $j$:
#
# $$ dS_{ic} = \sum_k \sum_j dz_{k,ij}\, W_{kcj} $$
# %%
dS = np.zeros_like(S)
for k in range(K):
    dS += dz[k] @ W[k].T


def loss_from_S(S):
    return loss(spaces_slow(S, W, b))


assert scoreboard(("S", dS, S, loss_from_S))
print("and from the last space only:")
assert not scoreboard(("S", dz[K - 1] @ W[K - 1].T, S, loss_from_S))

# %% [markdown]
# ## All spaces in one product
#
# Column $j$ of a product $A B$ depends on column $j$ of $B$ only. So put the $K$ matrices side by side,
# $P = [W_0 \mid W_1 \mid \dots]$, of shape $[D, K d] = [D, D]$: then $S P$ holds all $S W_k$ side by side. **Space $k$ is the
# columns $k d$ to $(k+1) d - 1$.** So one large product stands for $K$ small ones, and it is the perceptron of lesson 05,
# forward and backward. Nothing is left to derive.
#
# The package stores $P$ and its bias so, and looks at the spaces with two functions: `split_spaces` makes $[K, n, d]$ of
# $[n, D]$, and `join_spaces` goes back. Note what it costs: $K$ spaces of width $D/K$ have together as many weights as one
# space of width $D$.
# %%
P = np.concatenate([W[0], W[1], W[2]], axis=1)
P_b = b.reshape(D)
side_by_side, cache = perceptron_forward(S, P, P_b)  # [n,D]
assert relative_error(split_spaces(side_by_side, K), S_k) < 1e-14
assert np.array_equal(join_spaces(split_spaces(side_by_side, K)), side_by_side)
for k in range(K):
    assert np.array_equal(split_spaces(side_by_side, K)[k], side_by_side[:, k * d : (k + 1) * d])
assert P.size == K * D * d == D * D

package_dS, package_dP, package_dP_b = perceptron_backward(join_spaces(dS_k), cache)
assert relative_error(package_dS, dS) < 1e-14  # the sum over the spaces is inside the product dz Pᵀ
assert relative_error(package_dP, np.concatenate([dW[0], dW[1], dW[2]], axis=1)) < 1e-14
assert relative_error(package_dP_b, db.reshape(D)) < 1e-14

names = np.array([[0, 1, 10, 11], [100, 101, 110, 111]])
print("space 0\n", split_spaces(names, 2)[0], "\nspace 1\n", split_spaces(names, 2)[1])
assert split_spaces(names, 2).tolist() == [[[0, 1], [100, 101]], [[10, 11], [110, 111]]]

# %% [markdown]
# ## What several spaces can do, and one cannot
#
# A history of six behaviours: tea, book, tea, bicycle, tea, book. $S$ has three columns for the category, one for how recent
# the behaviour is (0 to 1), and four more, of which one is made a constant 1. Attention gives each behaviour a row of weights
# over all six, by scores and a softmax. (How the score comes about, with a second matrix per space, is lesson 08; here it is
# enough that we choose the matrices by hand.)
#
# * In space 0 the score is 5 if both have the same category, else 0.
# * In space 1 the score is 8 times how recent the other one is.
# * With a single space there is one row of scores for both questions: their sum.
#
# Look at the oldest tea. In space 0 its weights are about ⅓ on each tea. In space 1 nearly all weight is on the latest
# behaviours. With one space the sum of the scores prefers what is recent *and* tea: the latest tea gets nearly everything,
# and the model can read neither "all the tea" nor "what came last".
# %%
category = np.array([0, 1, 0, 2, 0, 1])
recent = np.arange(6) / 5
history = np.zeros((6, 8))  # D = 8
history[np.arange(6), category] = 1
history[:, 3] = recent
whole = np.array([0, 6])  # one history: rows 0 to 5
constant = np.zeros(8)
constant[7] = 1  # the projections' bias: column 7 becomes 1 for every behaviour


def weights_of(W):  # [K,d,8] -> [K,6,6]
    _, cache = attention_forward(history, history, np.eye(8), constant, W, np.eye(8), np.zeros(8), whole, whole)
    return attention_weights(cache)[0]


two = np.zeros((2, 4, 8))
for c in range(3):
    two[0, c, c] = 5  # space 0 has the columns 0 … 3: each category with itself
two[1, 3, 3] = 8  # space 1 has the columns 4 … 7: the constant with how recent the other is
one = np.zeros((1, 8, 8))
for c in range(3):
    one[0, c, c] = 5
one[0, 7, 3] = 8

apart = weights_of(two)
together = weights_of(one)
tea = category == 0
print("the oldest tea:  space 0", apart[0, 0].round(2), "\n                 space 1", apart[1, 0].round(2))
print("               one space", together[0, 0].round(2))
assert np.allclose(apart[0, 0, tea], apart[0, 0, 0])  # all tea alike
assert apart[0, 0, tea].sum() > 0.95
assert apart[1, :, 5].min() > 0.75  # the last behaviour, for every reader
assert together[0, 0, 4] > 0.9  # the latest tea
assert together[0, 0, 0] < 0.01
assert together[0, 0, 5] < 0.05

# %% [markdown]
# ## The picture
#
# Each panel is a table of weights: the row is the behaviour that reads, the column the one that is read, and each row sums to
# 1. (Weights below 0.005 are not written.) Left: blocks of the same category. Middle: one column, the same for all readers.
#    Right: the two questions mixed.
# %%
with figure("06_latent_spaces", columns=3, size=(12, 4.3)) as (fig, axes):
    words = ("tea", "book", "bike")
    label = [f"{words[category[i]]}, day {i}" for i in range(6)]
    titles = ("space 0: same category", "space 1: how recent", "one space for both questions")
    for axis, A, title in zip(axes, (apart[0], apart[1], together[0]), titles):
        axis.imshow(A, cmap="Blues", vmin=0, vmax=1.1)
        for i, j in np.ndindex(6, 6):
            if A[i, j] > 0.005:
                colour = "w" if A[i, j] > 0.6 else "k"
                axis.text(j, i, f"{A[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=8, color=colour)
        axis.set(title=title, xticks=range(6), yticks=range(6), yticklabels=label)
        axis.set_xticklabels(label, rotation=40, ha="right")
        axis.set(xlabel="is read", ylabel="reads")
        axis.spines[:].set_visible(False)

# %% [markdown]
# ## What people get wrong
#
# 1. **`reshape(K, n, d)` alone.** It cuts the numbers in the order in which they lie in memory: behaviour after behaviour.
#    "Space 0" is then both spaces of behaviour 0. First $[n, K, d]$, then the first two axes are exchanged.
# 2. **The same on the way back.**
# 3. **`dS =` in the loop in place of `dS +=`**: only the last space comes back. (Shown above.)
# 4. **Columns in another order**, $j K + k$ in place of $k d + j$. Every shape is right, and saved weights mean something
#    else when they are read.
# 5. **A width that $K$ does not divide.** The package refuses it with a sentence.
# %%
scrambled = names.reshape(2, 2, 2)
print("1. reshape alone: 'space 0' is", scrambled[0].tolist())
assert scrambled[0].tolist() == [[0, 1], [10, 11]]  # behaviour 0 in both spaces, and no behaviour 1

back = split_spaces(names, 2).reshape(2, 4)
print("2. joined by reshape alone:", back.tolist())
assert back.tolist() == [[0, 1, 100, 101], [10, 11, 110, 111]]  # a row is a space now, not a behaviour

for seed in range(10):
    draw = np.random.default_rng(seed)
    W = draw.standard_normal((K, D, d))
    other_order = W.transpose(1, 2, 0).reshape(D, D)  # column j K + k
    right_order = W.transpose(1, 0, 2).reshape(D, D)  # column k d + j
    y, _ = perceptron_forward(S, right_order, P_b)
    wrong_y, _ = perceptron_forward(S, other_order, P_b)
    assert relative_error(wrong_y, y) > 0.1
print(f"4. columns in another order: error {relative_error(wrong_y, y):.2f} in the last of ten draws")

refused = ""
try:
    Config(width=100, spaces=8)
except ValueError as fault:
    refused = str(fault)
print("5.", refused)
assert refused

# %% [markdown]
# ## Your turn
#
# The backward pass of all spaces at once, then of spaces that differ in width and strength:
# `python -m lessons.exercises check 06` (from the repository's root).
# %%
print("lesson 06 done: one product for all spaces; space k is the columns k d to (k+1) d − 1; S gets the sum over the spaces")
