# %% [markdown]
# # Lesson 11. The block F_self (6): a hidden layer, dropout, a residual connection, a layer norm
#
# *Before it: lesson 05 (perceptrons) and 10 (layer norm). About 40 minutes.*
#
# After the attention each behaviour has a row $X$. Now every row goes through a small network. Rows do not meet here: the
# attention takes sums over the rows of a history, this block works within each row. All rows share the parameters of the
# block, so the gradients of the parameters are sums over the rows.
#
# The paper names the parts and their order: one hidden layer with a relu, then **dropout, then the residual connection,
# then layer normalisation**. (7) uses the same block with other parameters. You know all the parts but two:
#
# * **Dropout** sets numbers to 0 at random while training.
# * **The residual connection** adds the block's input to its output, so $X$ is used twice.
#
# **Conventions.** $dZ$ is $\partial L/\partial Z$: it has the shape of $Z$, and $dZ_{ij}$ says how fast the loss $L$ grows
# with the one number $Z_{ij}$. We make a loss of our own, $L = \sum_{ij} dy_{ij}\, y_{ij}$, with random numbers $dy$ (the
# upstream gradient): its derivative by $y$ is $dy$. Random, because with ones some wrong gradients would pass (lesson 02).
# $A \circ B$ multiplies entry by entry, and $[y > 0]$ is 1 where it holds and else 0. `relative_error(A, B)` is the largest
# difference divided by the largest entry. `scoreboard` takes rows (name, our gradient, array, rest of the computation as a
# function of that array), and compares with numeric derivatives.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward
from atrank_np.layers.feedforward import feed_forward_backward, feed_forward_forward, layer_norm_backward, layer_norm_forward
from atrank_np.randomness import dropout_mask

# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# A row $x$ = (1, 2). The hidden layer makes $out$ = (3, 4) of it. Dropout with the chance ½ throws the second number away, and
# doubles the first, so that the mean stays: that is a product with the **mask** (2, 0), and gives (6, 0). The residual
# connection adds $x$: $total$ = (7, 2).
#
# Backward, for $dtotal$ = (1, −1). A sum hands its gradient to both summands, unchanged: so $x$ gets (1, −1) directly. The
# other summand, mask times $out$, gets (1, −1) too, and $out$ gets mask times that: (2, 0). What was thrown away had no
# influence on the loss, so it gets no gradient. What was doubled has a doubled influence.
# %%
x_row, out_row, mask_row = np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([2.0, 0.0])
total_row = x_row + mask_row * out_row
dtotal_row = np.array([1.0, -1.0])
print("total", total_row, "  dout", mask_row * dtotal_row, "  dx by the residual connection", dtotal_row)
assert total_row.tolist() == [7, 2] and (mask_row * dtotal_row).tolist() == [2, 0]

# %% [markdown]
# ## The equation
#
# $$ (6)\qquad C = \mathrm{LN}\big(X + \mathrm{dropout}(\mathrm{relu}(X W_1 + b_1)\, W_2 + b_2)\big) $$
#
# ## Dropout and its mask
#
# With chance $p$ a number becomes 0, so no number may rely on another one. The others are multiplied by $1/(1-p)$ while
# training (*inverted* dropout). The mean over many masks is then the number itself:
# $(1-p) \cdot \frac{1}{1-p} + p \cdot 0 = 1$. So nothing has to be done when ranking, without dropout.
#
# Where do the random numbers come from? Usually from a generator, which gives one number after the other, so the order of the
# calls decides. Ours come from a *hash*: each mask entry is computed from (key, layer, row, column) alone. The integers are
# multiplied and shifted until no pattern is left. Then any part of a mask can be made alone, in any order, by any thread, and
# the backward pass can make the same mask again. For one entry, in Python's own integers:
# %%
BITS = 2**64 - 1


def mask_slow(p, key, layer, row, column):
    z = (key + 0x9E3779B97F4A7C15 * ((layer << 48) + (row << 16) + column + 1)) & BITS
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & BITS
    uniform = ((z ^ (z >> 31)) >> 11) / 2**53  # in [0, 1)
    return 0 if uniform < p else 1 / (1 - p)


key = 20180202
mask = dropout_mask(0.4, key, 0, (5, 7), np.float64)
for row in range(5):
    for column in range(7):
        assert mask[row, column] == mask_slow(0.4, key, 0, row, column)
large = dropout_mask(0.4, key, 0, (1000, 200), np.float64)
assert (large[:5, :7] == mask).all()  # a part of the large mask is the small one
for seed in range(5):
    large = dropout_mask(0.4, key + seed, 0, (1000, 200), np.float64)
    assert abs((large == 0).mean() - 0.4) < 0.005 and abs(large.mean() - 1) < 0.01
print(f"200,000 entries at rate 0.4: share dropped {(large == 0).mean():.4f}, mean of the mask {large.mean():.4f}")


# %% [markdown]
# ## The slow version, one row at a time
# %%
def feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask):  # [N,D] … -> [N,D]
    y = np.zeros_like(x)
    for i in range(len(x)):
        hidden = np.maximum(x[i] @ W1 + b1, 0)
        out = hidden @ W2 + b2
        total = x[i] + mask[i] * out  # dropout, then the residual connection
        y[i] = (total - total.mean()) / np.sqrt(total.var() + 1e-5) * gain + bias  # then the layer norm
    return y


rng = np.random.default_rng(11)
N, D, H = 5, 7, 3  # rows, their width, the width of the hidden layer
x = rng.standard_normal((N, D))
dy = rng.standard_normal((N, D))  # the upstream gradient
W1, b1 = rng.standard_normal((D, H)), rng.standard_normal(H)
W2, b2 = rng.standard_normal((H, D)), rng.standard_normal(D)
gain, bias = 1 + 0.5 * rng.standard_normal(D), rng.standard_normal(D)

# %% [markdown]
# ## Forward, one step a line
# %%
z = x @ W1 + b1  # F1 [N,H]
hidden = np.maximum(z, 0)  # F2 [N,H]
out = hidden @ W2 + b2  # F3 [N,D]
dropped = mask * out  # F4 [N,D]
total = x + dropped  # F5 [N,D]
y, norm_cache = layer_norm_forward(total, gain, bias)  # F6 [N,D], lesson 10
assert relative_error(y, feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask)) < 1e-13


# %% [markdown]
# ## B6. The layer norm
#
# Lesson 10 has derived it. We only call it.
# %%
def from_total(total):
    y, _ = layer_norm_forward(total, gain, bias)
    return (dy * y).sum()


dtotal, dgain, dbias = layer_norm_backward(dy, norm_cache)
assert scoreboard(("total", dtotal, total, from_total))


# %% [markdown]
# ## B5. The residual connection: $total_{ij} = x_{ij} + dropped_{ij}$
#
# Both slopes are 1, so both summands get the gradient as it is:
#
# $$ ddropped_{ij} = dtotal_{ij} \qquad\qquad dx^{residual}_{ij} = dtotal_{ij} $$
#
# $x$ has another use, in F1. So this is one of two summands of $dx$.
# %%
def from_dropped(dropped):
    return from_total(x + dropped)


ddropped = dtotal
dx_residual = dtotal
assert scoreboard(("dropped", ddropped, dropped, from_dropped))


# %% [markdown]
# ## B4. Dropout: $dropped_{ij} = mask_{ij}\, out_{ij}$
#
# The mask is a constant: it was drawn, no parameter changes it. So the slope is $mask_{ij}$, and it must be **the same mask**
# as in the forward pass:
#
# $$ dout_{ij} = mask_{ij}\; ddropped_{ij} $$
# %%
def from_out(out):
    return from_dropped(mask * out)


dout = mask * ddropped
assert scoreboard(("out", dout, out, from_out))


# %% [markdown]
# ## B3. The second product: $out_{ij} = \sum_p hidden_{ip}\, W_{2,pj} + b_{2,j}$
#
# $hidden_{ip}$ stands in row $i$ of $out$, $W_{2,pj}$ in column $j$, the bias in every row:
#
# $$ dhidden_{ip} = \sum_j dout_{ij}\, W_{2,pj} \qquad dW_{2,pj} = \sum_i hidden_{ip}\, dout_{ij} \qquad
#    db_{2,j} = \sum_i dout_{ij} $$
#
# As products these are $dout\, W_2^\top$ and $hidden^\top dout$.
# %%
def from_hidden(hidden):
    return from_out(hidden @ W2 + b2)


def whole(_):  # the scoreboard moves one of the arrays that are read here
    return (dy * feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask)).sum()


dhidden = dout @ W2.T
dW2 = hidden.T @ dout
db2 = dout.sum(0)
assert scoreboard(("hidden", dhidden, hidden, from_hidden), ("W2", dW2, W2, whole), ("b2", db2, b2, whole))


# %% [markdown]
# ## B2 and B1. The relu, the first product, and both summands of $dx$
#
# $$ dz_{ip} = dhidden_{ip}\,[z_{ip} > 0] \qquad dW_1 = x^\top dz \qquad db_1 = \sum_i dz_i \qquad
#    dx = dz\, W_1^\top + dtotal $$
#
# To check the two summands of $dx$ alone, we move $x$ in one of its uses only.
# %%
def from_z(z):
    return from_hidden(np.maximum(z, 0))


fixed = x.copy()  # stays where it is while the scoreboard moves x


def by_the_block(x):
    hidden = np.maximum(x @ W1 + b1, 0)
    return from_total(fixed + mask * (hidden @ W2 + b2))


def by_the_residual(x):
    return from_total(x + dropped)


dz = dhidden * (z > 0)
dW1 = x.T @ dz
db1 = dz.sum(0)
dx_block = dz @ W1.T
dx = dx_block + dx_residual
assert scoreboard(("z", dz, z, from_z), ("W1", dW1, W1, whole), ("b1", db1, b1, whole))
assert scoreboard(("x block", dx_block, x, by_the_block), ("x residual", dx_residual, x, by_the_residual))
assert scoreboard(("x", dx, x, whole), ("gain", dgain, gain, whole), ("bias", dbias, bias, whole))

# %% [markdown]
# ## The package's version
#
# It is called `feed_forward_forward`. Without a mask nothing is dropped, as when a trained model ranks.
# %%
y_package, cache = feed_forward_forward(x, W1, b1, W2, b2, gain, bias, mask)
assert relative_error(y_package, y) < 1e-13
for mine, theirs in zip((dx, dW1, db1, dW2, db2, dgain, dbias), feed_forward_backward(dy, cache), strict=True):
    assert relative_error(mine, theirs) < 1e-12

# %% [markdown]
# ## What enters the block: the paper's letter, and $S$ beside it
#
# As printed, $X = \mathrm{concat}_k\, C_k$: row $i$ holds what behaviour $i$ looks at, but not the behaviour itself. If all
# attention weights are equal, all rows of $X$ are equal, and no row shows which
# behaviour it belongs to. With small parameters, as at the start of training, all scores are near 0 and the weights are nearly
# equal.
#
# The paper says that its structure is that of Vaswani et al. (2017). There the attention has a residual connection of its own,
# and so has ATRank here. The variant `printed` is the letter of (6).
#
# $$ X = S + \mathrm{concat}_k\, C_k \qquad\qquad dS = dX + \text{what the attention sends back} $$
#
# It is the same derivation once more. $S$ is now used three times: as query, as memory (lesson 09), and as a summand.
# In the package, `ATRank.user_forward` adds $S$, and `ATRank.user_backward` adds $dX$.
# (`python -m atrank_np.departures residual` shows what the model gains by it on real logs, lesson 25 what goes wrong without
# it.)
# %%
n, d, K = 5, 3, 2
S = rng.standard_normal((n, K * d))
dX = rng.standard_normal((n, K * d))
P_W, Q_W = rng.standard_normal((2, K * d, K * d))
P_b, Q_b = rng.standard_normal((2, K * d))
W = rng.standard_normal((K, d, K * d))
one_history = np.array([0, n])


def attend(S, W):
    return attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, one_history, one_history)


even, _ = attend(S, 0 * W)  # all scores are 0, so all weights are equal
assert np.allclose(even, even[0])  # as printed: all rows are equal
assert not np.allclose(S + even, S[0] + even[0])  # with S: they are not


def from_S(S):
    answer, _ = attend(S, W)
    return (dX * (S + answer)).sum()


_, attention_cache = attend(S, W)
dS_query, dS_memory, *_ = attention_backward(dX, attention_cache)
dS = dX + dS_query + dS_memory
assert scoreboard(("S", dS, S, from_S))

# %% [markdown]
# ## What the residual connection does to a gradient
#
# A gradient goes back through 30 blocks with random weights. How large is it at the end, compared with the start? We try it
# with five draws, three ways: the block alone, $x + block$, and $\mathrm{LN}(x + block)$.
# %%
DEPTH, WIDTH = 30, 64


def sizes_of_a_gradient(seed, residual, norm):
    """The length of a gradient after 0, 1, … 30 blocks on its way back, over its length at the start."""
    draw = np.random.default_rng(seed)
    row = draw.standard_normal((1, WIDTH))
    ones, zeros = np.ones(WIDTH), np.zeros(WIDTH)
    kept = []
    for _ in range(DEPTH):  # forward
        A, B = 0.125 * draw.standard_normal((2, WIDTH, WIDTH))
        hidden = np.maximum(row @ A, 0)
        row = residual * row + hidden @ B
        norm_cache = None
        if norm:
            row, norm_cache = layer_norm_forward(row, ones, zeros)
        kept.append((A, B, hidden, norm_cache))
    gradient = draw.standard_normal((1, WIDTH))
    lengths = [np.linalg.norm(gradient)]
    for A, B, hidden, norm_cache in reversed(kept):  # backward
        if norm:
            gradient, _, _ = layer_norm_backward(gradient, norm_cache)
        through_block = (gradient @ B.T * (hidden > 0)) @ A.T
        gradient = residual * gradient + through_block
        lengths.append(np.linalg.norm(gradient))
    return np.array(lengths) / lengths[0]


WAYS = (("block alone", "C3", 0, False), ("x + block", "C1", 1, False), ("LN(x + block)", "C0", 1, True))
sizes = {}
for words, _, residual, norm in WAYS:
    sizes[words] = np.array([sizes_of_a_gradient(seed, residual, norm) for seed in range(5)])
    print(f"{words:14} after {DEPTH} blocks, five draws:", " ".join(f"{size:.2g}" for size in sizes[words][:, -1]))
assert (sizes["block alone"][:, -1] < 1e-2).all()  # it vanishes
assert (sizes["x + block"][:, -1] > 50).all()  # it stays, and grows
assert (sizes["LN(x + block)"][:, -1] > 0.2).all() and (sizes["LN(x + block)"][:, -1] < 5).all()  # it stays about as it was

# %% [markdown]
# ## The picture
#
# Left: a mask; there is no pattern in it. Middle: the mean of a number 1 over more and more masks, in five runs. Inverted
# dropout comes to 1, the number without dropout; if the numbers that stay are not scaled, it comes to 0.7. Right: the
# gradients from above.
# %%
with figure("11_feed_forward", columns=3, size=(13, 4)) as (fig, axes):
    axes[0].imshow(dropout_mask(0.3, key, 0, (40, 60), np.float64) > 0, cmap="gray", interpolation="nearest")
    axes[0].set(title="a mask at rate 0.3: black is dropped", xlabel="column", ylabel="row")
    axes[0].spines[:].set_visible(False)
    count = np.arange(1, 2001)
    for seed in range(5):
        drawn = dropout_mask(0.3, key + seed, 1, (2000, 1), np.float64)[:, 0]
        mean = np.cumsum(drawn) / count
        label = seed == 0
        axes[1].semilogx(count, mean, "C0", lw=1, label="inverted: × 1/(1 − p)" if label else None)
        axes[1].semilogx(count, 0.7 * mean, "C3", lw=1, label="not scaled" if label else None)
        assert abs(mean[-1] - 1) < 0.06
    axes[1].axhline(1, color="k", ls="--", lw=0.8, label="without dropout")
    axes[1].set(title="mean of a number 1 over many masks", xlabel="masks", ylabel="mean", ylim=(0, 1.6))
    axes[1].legend(loc="lower right")
    for words, colour, _, _ in WAYS:
        axes[2].semilogy(sizes[words].T, colour, lw=1)
        axes[2].text(DEPTH, sizes[words][0, -1], " " + words, color=colour, va="center", fontsize=9)
    axes[2].set(title="a gradient on its way back, five draws", xlabel="blocks passed", xlim=(0, 44))
    axes[2].set(xticks=(0, 10, 20, 30), ylabel="length, over that at the start")

# %% [markdown]
# ## What people get wrong
# %%
late, _ = layer_norm_forward(mask * (x + out), gain, bias)  # 1. dropout after the residual connection: x itself is dropped
print(f"1. mask · (x + block): error of the result {relative_error(late, y):.2f}")
assert relative_error(late, y) > 0.1

print(f"2. dx without the residual's summand: error {relative_error(dx_block, dx):.2f}")
assert relative_error(dx_block, dx) > 0.1

fresh = dropout_mask(0.4, key + 1, 0, (N, D), np.float64)  # 3. a new mask on the way back
print(f"3. a new mask in the backward pass: error of dout {relative_error(fresh * ddropped, dout):.2f}")
assert relative_error(fresh * ddropped, dout) > 0.1

early = np.random.default_rng(0).random(3)  # 4. a generator in place of the hash: the order decides
generator = np.random.default_rng(0)
generator.random(7)  # other rows were drawn first
later = generator.random(3)
print("4. the same three numbers from a generator, drawn first or after seven others:", early.round(2), later.round(2))
assert (early != later).all()

# %% [markdown]
# ## Your turn
#
# The block of the exercise has another activation: its hidden layer is a product of two, one of them through
# $z\,\sigma(z)$ in place of the relu, as in many language models. You have not seen its derivative here. Derive it.
# `python -m lessons.exercises check 11` (from the repository's root).
# %%
print("lesson 11 done: dropout is a product with a mask that a hash makes; the residual connection is a second use of x")
