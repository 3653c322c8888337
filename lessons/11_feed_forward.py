# %% [markdown]
# # Lesson 11. Dropout, residual connection, and F_self (6)
#
# *Before it: lesson 05 (perceptrons) and 10 (layer norm). About 30 minutes.*
#
# The attention vectors $X = \mathrm{concat}_k\, C_k$ now go through a network of their own, row by row:
#
# $$ (6)\qquad C = \mathrm{LN}\big(X + \mathrm{dropout}(\mathrm{relu}(X W_1 + b_1)\, W_2 + b_2)\big) $$
#
# The paper names the order: **dropout, then the residual connection, then layer normalisation**. (7) uses the same block with
# other numbers. We know all the parts but two: dropout throws numbers away at random, and the residual "$X\, +$" is a second
# use of $X$.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward
from atrank_np.layers.feedforward import feed_forward_backward, feed_forward_forward, layer_norm_backward, layer_norm_forward
from atrank_np.randomness import dropout_mask

# %% [markdown]
# ## Dropout
#
# With chance $p$ a number becomes 0; so no number may rely on another being there. To keep the mean, the survivors are
# multiplied by $1/(1-p)$ while training (*inverted* dropout): $(1-p) \cdot \frac{1}{1-p} + p \cdot 0 = 1$. When ranking
# there is then nothing to do. As a formula it is a product with a **mask** of 0 and $1/(1-p)$, so its backward pass is the
# product with **the same** mask.
#
# Our mask has no generator that must be carried along. Each number is a *hash* of (key, layer, row, column): integers are
# multiplied and shifted until no pattern is left. Here it is for one place, in Python's own integers:
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
assert mask.tolist() == [[mask_slow(0.4, key, 0, row, column) for column in range(7)] for row in range(5)]
large = dropout_mask(0.4, key, 0, (1000, 200), np.float64)
print(f"share dropped {(large == 0).mean():.4f} (asked 0.4), mean of the mask {large.mean():.4f} (must be near 1)")
assert abs((large == 0).mean() - 0.4) < 0.005 and abs(large.mean() - 1) < 0.01
assert (large[:5, :7] == mask).all()  # any part of it can be made alone, in any order, by any thread


# %% [markdown]
# ## The slow version of F_self, one row at a time
# %%
def feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask):
    y = np.zeros_like(x)
    for i, row in enumerate(x):
        hidden = np.maximum(row @ W1 + b1, 0)
        total = row + mask[i] * (hidden @ W2 + b2)  # dropout, then the residual connection
        y[i] = (total - total.mean()) / np.sqrt(total.var() + 1e-5) * gain + bias  # then the layer norm
    return y


rng = np.random.default_rng(11)
x, dy = rng.standard_normal((2, 5, 7))  # dy: the upstream gradient, random
W1, b1, W2, b2 = rng.standard_normal((7, 3)), rng.standard_normal(3), rng.standard_normal((3, 7)), rng.standard_normal(7)
gain, bias = 1 + 0.5 * rng.standard_normal(7), rng.standard_normal(7)

# %% [markdown]
# ## The gradient in atoms
# %%
z = x @ W1 + b1  # F1
hidden = np.maximum(z, 0)  # F2
out = hidden @ W2 + b2  # F3
dropped = mask * out  # F4
total = x + dropped  # F5
y, norm_cache = layer_norm_forward(total, gain, bias)  # F6, lesson 10
assert relative_error(y, feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask)) < 1e-13

dtotal, dgain, dbias = layer_norm_backward(dy, norm_cache)  # B6
ddropped = dtotal  # B5: a sum hands its gradient to both …
dout = mask * ddropped  # B4: the same mask; what was dropped gets no gradient
dhidden, dW2, db2 = dout @ W2.T, hidden.T @ dout, dout.sum(0)  # B3
dz = dhidden * (z > 0)  # B2
dW1, db1 = x.T @ dz, dz.sum(0)  # B1
dx_block, dx_residual = dz @ W1.T, dtotal  # B1, and … B5: the other one is x itself
dx = dx_block + dx_residual  # two uses of x add up

loss = lambda total: (dy * layer_norm_forward(total, gain, bias)[0]).sum()
slow = lambda _: (dy * feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask)).sum()
fixed = x.copy()
parameters = dict(W1=(dW1, W1), b1=(db1, b1), W2=(dW2, W2), b2=(db2, b2), gain=(dgain, gain), bias=(dbias, bias))
assert scoreboard(
    ("total", dtotal, total, loss),
    ("dropped", ddropped, dropped, lambda dropped: loss(x + dropped)),
    ("out", dout, out, lambda out: loss(x + mask * out)),
    ("hidden", dhidden, hidden, lambda hidden: loss(x + mask * (hidden @ W2 + b2))),
    ("z", dz, z, lambda z: loss(x + mask * (np.maximum(z, 0) @ W2 + b2))),
    *[(name, gradient, array, slow) for name, (gradient, array) in parameters.items()],
    ("x block", dx_block, x, lambda x: loss(fixed + mask * (np.maximum(x @ W1 + b1, 0) @ W2 + b2))),
    ("x residual", dx_residual, x, lambda x: loss(x + dropped)),
    ("x", dx, x, slow),
)

# %% [markdown]
# ## Collapsed, and the package's version
#
# $$ dx = dtotal + \mathrm{perceptron\_backward}(\mathrm{linear\_backward}(mask \circ dtotal)) $$
#
# (linear_backward is perceptron_backward without the relu; of what each returns, the gradient by its input is meant)
# %%
y, cache = feed_forward_forward(x, W1, b1, W2, b2, gain, bias, mask)
for mine, theirs in zip((dx, dW1, db1, dW2, db2, dgain, dbias), feed_forward_backward(dy, cache)):
    assert relative_error(mine, theirs) < 1e-12

# %% [markdown]
# ## What enters F_self: the printed letter, and S beside it
#
# As printed, $X = \mathrm{concat}_k\, C_k$: row $i$ holds what behaviour $i$ looks at, and not the behaviour itself. Where all
# weights are even, as they nearly are at the start, all rows of $X$ are equal: no row knows whose it is.
#
# The paper says that the structure is that of Vaswani et al. (2017), and there the attention has a residual connection of its
# own. So has ATRank here; its variant `printed` is the letter of (6):
#
# $$ X = S + \mathrm{concat}_k\, C_k \qquad dS = dX + \text{what the attention sends back (lesson 09)} $$
#
# It is the same derivation once more: a sum hands its gradient to both. $S$ is used three times: it asks, it is looked at, and
# it is added. (`python -m atrank_np.departures residual` says what $S$ gains on real logs, lesson 25 what goes wrong without it.)
# %%
S, dX = rng.standard_normal((2, 5, 6))
P_W, Q_W, W = rng.standard_normal((6, 6)), rng.standard_normal((6, 6)), rng.standard_normal((2, 3, 6))  # two spaces
P_b, Q_b, one_history = rng.standard_normal(6), rng.standard_normal(6), np.array([0, 5])
attend = lambda S, W: attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, one_history, one_history)
even, _ = attend(S, 0 * W)  # scores of 0, so even weights
assert np.allclose(even, even[0]) and not np.allclose(S + even, S[0] + even[0])

dS_query, dS_memory, *_ = attention_backward(dX, attend(S, W)[1])
dS = dX + dS_query + dS_memory
assert scoreboard(("S", dS, S, lambda S: (dX * (S + attend(S, W)[0])).sum()))

# %% [markdown]
# ## With a pencil
#
# $p = ½$: the mask is (2, 0). Let $x$ = (1, 2), $out$ = (3, 4). Then dropped = (6, 0), total = (7, 2). Back: for
# $dtotal$ = (1, −1) we get $dout$ = (2, 0), and $x$ receives (1, −1) by its own road, whatever the block does.
# %%
pencil_mask = np.array([2, 0])
print("total", np.array([1, 2]) + pencil_mask * [3, 4], "  dout", pencil_mask * [1, -1])
assert (np.array([1, 2]) + pencil_mask * [3, 4]).tolist() == [7, 2] and (pencil_mask * [1, -1]).tolist() == [2, 0]

# %% [markdown]
# ## The picture
#
# Left: a mask, no pattern in it. Middle: averaged over many masks, inverted dropout gives the number without dropout; if the
# survivors are not scaled, training and ranking see different sizes. Right: a gradient on its way back through 30 blocks. The
# block alone loses it; the residual connection keeps it, and lets it grow; the layer norm after it holds it steady.
# %%
with figure("11_feed_forward", columns=3, size=(13, 3.9)) as (fig, axes):
    axes[0].imshow(dropout_mask(0.3, key, 0, (40, 60), np.float64) > 0, cmap="gray", interpolation="nearest")
    axes[0].set(title="a mask at rate 0.3: black is dropped", xlabel="column", ylabel="row")
    axes[0].spines[:].set_visible(False)
    survived = dropout_mask(0.3, key, 1, (2000, 1), np.float64)[:, 0]
    count = np.arange(1, 2001)
    for values, color, words in ((survived, "C0", "inverted: × 1/(1 − p)"), (survived * 0.7, "C3", "not scaled")):
        axes[1].semilogx(count, np.cumsum(values) / count, color, label=words)
    axes[1].axhline(1, color="k", ls="--", lw=0.8, label="without dropout")
    axes[1].set(title="mean over many masks of a number 1", xlabel="masks", ylim=(0, 1.6))
    axes[1].legend(loc="lower right")
    weights = 0.125 * rng.standard_normal((30, 2, 64, 64))
    for words, color, residual, norm in (("block alone", "C3", 0, 0), ("x + block", "C1", 1, 0), ("LN(x + block)", "C0", 1, 1)):
        row, gates = rng.standard_normal((1, 64)), []
        for A, B in weights:
            hidden = np.maximum(row @ A, 0)
            row = residual * row + hidden @ B
            row, norm_cache = layer_norm_forward(row, np.ones(64), np.zeros(64)) if norm else (row, None)
            gates.append((hidden > 0, norm_cache))
        gradient = rng.standard_normal((1, 64))
        sizes = [np.linalg.norm(gradient)]
        for (A, B), (gate, norm_cache) in zip(weights[::-1], gates[::-1]):
            gradient = layer_norm_backward(gradient, norm_cache)[0] if norm else gradient
            gradient = residual * gradient + (gradient @ B.T * gate) @ A.T
            sizes.append(np.linalg.norm(gradient))
        axes[2].semilogy(np.array(sizes) / sizes[0], color, label=words)
    axes[2].set(title="size of a gradient on its way back", xlabel="blocks passed")
    axes[2].legend()

# %% [markdown]
# ## What people get wrong
# %%
error = lambda y: relative_error(y, feed_forward_slow(x, W1, b1, W2, b2, gain, bias, mask))
late, _ = layer_norm_forward(mask * (x + out), gain, bias)  # 1. dropout after the residual connection: x itself is lost
print(f"1. mask · (x + block): error {error(late):.2f}")
assert error(late) > 0.1

print(f"2. without the residual's gradient: error {relative_error(dx_block, dx):.2f}")
assert relative_error(dx_block, dx) > 0.1

other = dropout_mask(0.4, key + 1, 0, (5, 7), np.float64) * dtotal  # 3. a fresh mask on the way back
print(f"3. a fresh mask in the backward pass: error {relative_error(other, dout):.2f}")
assert relative_error(other, dout) > 0.1

first = np.random.default_rng(0).random(3)  # 4. a generator in place of the hash: the order decides
late = np.random.default_rng(0).random(7 + 3)[7:]  # the same three numbers, drawn after seven others
print("4. a generator gives the same rows other numbers if they are drawn in another order:", first.round(2), late.round(2))
assert (first != late).all()

# %% [markdown]
# ## Your turn
#
# The backward pass of F_self, from parts that you know: `python -m lessons.exercises check 11` (from the repository's root).
# %%
print("lesson 11 done: dropout is a product with a mask that a hash makes; the residual connection is a second use of x")
