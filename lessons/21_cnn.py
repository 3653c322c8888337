# %% [markdown]
# # Lesson 21. CNN: a sliding window and a maximum
#
# *Before it: lessons 03 (gradients of repeated ids) and 05 (the perceptron). About 40 minutes.*
#
# The convolutional competitor looks for patterns of a few behaviours in a row. A window slides over the history; in each
# place a pattern is compared with what stands in the window; only the **best** place counts.
#
# ## The idea with four numbers
#
# A history of four numbers, $x = (1, 4, 2, 2)$, and a window of two with the pattern $W = (1, -1)$: "less than before". The
# window has three places:
#
# | place | window | $1 · x_p - 1 · x_{p+1}$ | relu |
# |---|---|---|---|
# | 0 | 1, 4 | −3 | 0 |
# | 1 | 4, 2 | 2 | **2** |
# | 2 | 2, 2 | 0 | 0 |
#
# The output is the maximum, 2. Now backwards, with an upstream gradient of 5. Only place 1 was used: move $x_0$ or $x_3$ by a
# little and the output stays. Place 1 holds 4 and 2 with the weights 1 and −1. So $dx = (0, 5, -5, 0)$ and
# $dW = (5 · 4, 5 · 2)$. **A maximum sends the gradient to one place.** That is the new rule; the rest is a perceptron.
#
# ## The equation
#
# Behaviours have $D$ numbers, and there are $F$ patterns (feature maps) of a window of $w$ behaviours:
#
# $$ z_{pf} = \mathrm{relu}\Big( \sum_{j=0}^{w-1} \sum_{k=1}^{D} x_{p+j,k}\, W_{jkf} + b_f \Big) \qquad y_f = \max_p z_{pf} $$
#
# $x$ is $[n, D]$, $W$ is $[w, D, F]$. The paper takes all windows of $w$ = 1 to 10 with $F$ = 32 maps each; the 320 maxima
# are mapped to the user vector. It says nothing on histories that are shorter than the window. Ours get zeros at their end;
# an empty one gives zeros.
#
# ## What the signs mean
#
# * $dZ$ (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$:
#   $dZ_{ij} = \partial L/\partial Z_{ij}$.
# * In the model, layers above hand down the **upstream gradient** $dy$. Here nothing is above, so we make a loss of our own,
#   $L = \sum_f dy_f\, y_f$ with random numbers $dy$, drawn once. Random, for with equal numbers some wrong gradients would
#   look right.
# * $A \circ B$ is the product entry by entry; $[\,\cdot\,]$ is 1 where the condition holds, else 0;
#   $\mathrm{relu}(s) = \max(s, 0)$.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard` takes
#   rows of four: a name, our gradient, its array, and the rest of the computation as a function of this array, up to $L$.
#   It moves each entry by a little and says whether our gradient agrees.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.convolution import convolution_backward, convolution_forward, windows

# %% [markdown]
# ## The slow version, symbol by symbol: one history
# %%


def convolution_slow(x, W, b):  # [n,D], [w,D,F], [F] -> [F]
    n = len(x)
    w, D, F = W.shape
    places = 0 if n == 0 else max(n - w + 1, 1)
    y = np.zeros(F)
    for f in range(F):
        for p in range(places):
            s = b[f]
            for j in range(w):
                if p + j < n:  # beyond the end: zeros
                    for k in range(D):
                        s += x[p + j, k] * W[j, k, f]
            y[f] = max(y[f], s)  # the first comparison is with 0: that is the relu
    return y


rng = np.random.default_rng(21)
n, w, D, F = 5, 3, 2, 4
x, dy = rng.standard_normal((n, D)), rng.standard_normal(F)
W = rng.standard_normal((w, D, F))
b = 1 + rng.standard_normal(F)  # large enough that every map finds something; at relu's kink there is no derivative

# %% [markdown]
# ## Forward, every line with a number
#
# F1 to F4 number the lines; in the backward pass B4 is the step back through F4, and so on. Lay each window out as one long
# row: $P = n - w + 1$ rows of $wD$ numbers. Then the convolution is **one matrix product**, a perceptron that is shown
# overlapping pieces of the history.
# %%
P = n - w + 1
rows = np.arange(P)[:, None] + np.arange(w)  # [P, w], the behaviours in each window
laid_out = x[rows].reshape(P, w * D)  # F1
flat = W.reshape(w * D, F)
s = laid_out @ flat + b  # F2 [P, F]
z = np.maximum(s, 0)  # F3
best = z.argmax(0)  # [F], the place of each maximum; of equal ones the first
y = z[best, np.arange(F)]  # F4
assert relative_error(y, convolution_slow(x, W, b)) < 1e-14

# %% [markdown]
# ## Backward, one rule at a time
#
# **B4, the maximum.** $y_f = z_{p^* f}$ with $p^*$ the place of the maximum. Moving another place moves nothing, as long as
# it stays below:
#
# $$ dz_{pf} = dy_f\,[p = p^*_f] $$
#
# If two places are equal, the maximum has a kink. Any split of $dy$ between them would do; we give it to the first.
# %%
dz = np.zeros_like(z)
dz[best, np.arange(F)] = dy


def loss_from_z(z):
    return (dy * z.max(0)).sum()


assert scoreboard(("z", dz, z, loss_from_z))

# %% [markdown]
# **B3, the relu.** $ds = dz \circ [s > 0]$.
# %%
ds = dz * (s > 0)


def loss_from_s(s):
    return loss_from_z(np.maximum(s, 0))


assert scoreboard(("s", ds, s, loss_from_s))

# %% [markdown]
# **B2, the product.** $s_{pf} = \sum_q laid_{pq} W_{qf} + b_f$, with $q$ from 1 to $wD$. Each factor gets the upstream times
# the other factor, summed over the index that it does not have; the bias is used in each place:
#
# $$ dlaid_{pq} = \sum_f ds_{pf} W_{qf} \qquad dW_{qf} = \sum_p laid_{pq}\, ds_{pf} \qquad db_f = \sum_p ds_{pf} $$
# %%
dlaid_out = ds @ flat.T
dflat = laid_out.T @ ds
db = ds.sum(0)
dW = dflat.reshape(W.shape)


def loss_of_history(_):  # the scoreboard moves one of the arrays in place, so the argument is not needed
    return dy @ convolution_slow(x, W, b)


assert scoreboard(
    ("laid out", dlaid_out, laid_out, lambda laid_out: loss_from_s(laid_out @ flat + b)),
    ("W", dW, W, loss_of_history),
    ("b", db, b, loss_of_history),
)

# %% [markdown]
# **B1, the overlap.** Behaviour $i$ stands in up to $w$ windows. Each use has a gradient, and they add up, as for repeated ids
# (lesson 03):
#
# $$ dx_{ik} = \sum_{p,\,j:\; p + j = i} dlaid_{p,(j,k)} $$
# %%
dx = np.zeros_like(x)
np.add.at(dx, rows, dlaid_out.reshape(P, w, D))
assert scoreboard(("x", dx, x, loss_of_history))
print("each behaviour stands in so many windows:", np.bincount(rows.ravel()), "  places of the 4 maxima:", best)

# %% [markdown]
# ## The package: all histories at once
#
# Histories are packed: history $h$ is the rows `offsets[h]:offsets[h+1]`. `windows` says which rows are in which window.
# Below, histories of 4, 0, 2 and 1 behaviours, and $w = 3$. The first has two places, the empty one none, the short ones have
# one each. Their missing behaviours are row 7, one after the last, which holds zeros.
# %%
offsets = np.array([0, 4, 4, 6, 7])
places, place_offsets = windows(offsets, w)
print("windows:", places.tolist(), "  places of each history:", np.diff(place_offsets))
assert places.tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 7], [6, 7, 7]] and place_offsets.tolist() == [0, 2, 2, 3, 4]

x7, dy4 = rng.standard_normal((7, D)), rng.standard_normal((4, F))
y4, cache = convolution_forward(x7, W, b, offsets)
for h in range(4):
    assert relative_error(y4[h], convolution_slow(x7[offsets[h] : offsets[h + 1]], W, b)) < 1e-14


def loss_of_four(_):
    total = 0.0
    for h in range(4):
        total += dy4[h] @ convolution_slow(x7[offsets[h] : offsets[h + 1]], W, b)
    return total


package_dx, package_dW, package_db = convolution_backward(dy4, cache)
assert scoreboard(
    ("packed: x", package_dx, x7, loss_of_four),
    ("packed: W", package_dW, W, loss_of_four),
    ("packed: b", package_db, b, loss_of_four),
)
one, cache = convolution_forward(x, W, b, np.array([0, n]))
for mine, theirs in zip((dx, dW, db), convolution_backward(dy[None], cache)):
    assert relative_error(mine, theirs) < 1e-14

pencil_x, pencil_W = np.array([[1.0], [4], [2], [2]]), np.array([[[1.0]], [[-1]]])
pencil_y, cache = convolution_forward(pencil_x, pencil_W, np.zeros(1), np.array([0, 4]))
pencil_dx, pencil_dW, _ = convolution_backward(np.array([[5.0]]), cache)
print("the four numbers: y", pencil_y[0], "  dx", pencil_dx[:, 0], "  dW", pencil_dW.ravel())
assert pencil_y == 2 and pencil_dx[:, 0].tolist() == [0, 5, -5, 0] and pencil_dW.ravel().tolist() == [20, 10]

# %% [markdown]
# ## How large is it?
#
# With $D = 128$, windows of 1 to 10 and 32 maps each there are $(1 + 2 + … + 10) · 128 · 32 = 225,280$ weights in the
# patterns, and $320 · 128 = 40,960$ more that map the maxima to the user vector. Most of them belong to the large windows,
# and a pattern of ten behaviours in a row is seen rarely. The laid-out windows are $w$ times the size of $x$: the price of
# one plain product is memory.
#
# The user vector does not depend on the target. One vector is computed for a history, and all candidates are multiplied with
# it. That makes ranking cheap. ATRank's vanilla attention has another vector for each target, which costs more and can say
# more.
#
# ## What it can say, and what not
#
# A maximum says "there is such a place". It does not say where, and not how often. So for $w = 1$ the output is the same if
# the history is written twice, or shuffled. For larger windows the order matters, but only within $w$ behaviours.
#
# And a map has one window at a time. So of a history of 40, a map of $w = 3$ sends its gradient to three behaviours.
# Self-attention sends it to all. We count, for five random histories, the share of behaviours that none of 32 maps sends a
# gradient to.
# %%
length, maps = 40, 32


def patterns(draw, size):
    return draw.standard_normal((size, 16, maps)) / np.sqrt(16 * size)


def output(x, W):
    return convolution_forward(x, W, np.zeros(maps), np.array([0, len(x)]))


without = np.zeros((5, 10))
for seed in range(5):
    draw = np.random.default_rng([21, seed])
    long = draw.standard_normal((length, 16))
    counts = np.zeros((10, length), int)
    for size in range(1, 11):
        W_long = patterns(draw, size)
        once, cache = output(long, W_long)
        if size in (1, 3):
            twice, shuffled = output(np.tile(long, (2, 1)), W_long)[0], output(draw.permutation(long), W_long)[0]
            if size == 1:
                assert np.allclose(twice, once) and np.allclose(shuffled, once)
            else:
                assert not np.allclose(shuffled, once)
        np.add.at(counts[size - 1], cache.rows[cache.best[0]], 1)
    without[seed] = (counts == 0).mean(1)
print("share of 40 behaviours without a gradient, by w:", without.mean(0).round(2))
assert (without[:, 0] > 0.2).all() and (without[:, 0] > without[:, 9]).all()

# %% [markdown]
# ## The picture
#
# Left: $z$ of the history of five behaviours, a row for each feature map; the red square is the maximum, and the only place
# that gets a gradient. Right: how many of the 32 maps send their gradient to each of 40 behaviours (the last of the five
# histories).
# %%
with figure("21_cnn", columns=2, size=(12.5, 4.2)) as (fig, axes):
    axes[0].imshow(z.T, cmap="Blues", aspect="auto", vmax=2 * z.max())
    for p in range(P):
        for f in range(F):
            axes[0].text(p, f, f"{z[p, f]:.2f}", ha="center", va="center")
    axes[0].plot(best, range(F), "s", ms=40, mfc="none", mec="C3", mew=2)
    axes[0].set(title="z of one history; red: the maximum of each map", xticks=range(P), yticks=range(F), ylabel="feature map")
    axes[0].set_xticklabels([f"behaviours {r[0]} to {r[-1]}" for r in rows])
    shades = axes[1].imshow(counts, cmap="Blues", aspect="auto")
    fig.colorbar(shades, ax=axes[1], label="maps")
    axes[1].set(title="maps that send a gradient to a behaviour", xlabel="behaviour", ylabel="window w")
    axes[1].set_yticks(range(10), range(1, 11))

# %% [markdown]
# ## What people get wrong
#
# 1. **`dy * (z == z.max())`.** Two equal maxima both get all of $dy$, and $W$ gets the gradient twice. Equal places are not
#    rare: the same object may be viewed twice.
# 2. **`dx[rows] += …`** where windows overlap: one of the uses is kept.
# 3. **Padding to a common length.** A window of zeros has the value relu(b). If a map dislikes what is there, the padding
#    wins.
# 4. **Offsets ignored**: windows reach over the border between two users.
# 5. **`np.convolve`** turns the pattern round: mathematicians' convolution is not that of neural nets.
# %%
equal = np.array([[2.0], [2], [1]])
_, cache = convolution_forward(equal, np.ones((1, 1, 1)), np.zeros(1), np.array([0, 3]))
first = convolution_backward(np.ones((1, 1)), cache)[0].ravel()
both = (equal == equal.max()).ravel().astype(float)
print(f"1. two equal maxima: the package {first}, with == {both}")
lost = np.zeros_like(dx)
lost[rows] += dlaid_out.reshape(P, w, D)
print(f"2. `dx[rows] += …`: error {relative_error(lost, dx):.2f}")
disliked, high = np.array([[-2.0], [-1]]), np.array([1.0])  # a map with s = 1 − 2 and 1 − 1
inside, _ = convolution_forward(disliked, np.ones((1, 1, 1)), high, np.array([0, 2]))
padded, _ = convolution_forward(np.append(disliked, np.zeros((3, 1)), axis=0), np.ones((1, 1, 1)), high, np.array([0, 5]))
print(f"3. padded to length 5: {padded[0, 0]:.0f}; without padding: {inside[0, 0]:.0f}")
mixed, _ = convolution_forward(x7, W, b, np.array([0, 7]))
print(f"4. offsets ignored: the output is off by {np.abs(mixed - y4[0]).max():.2f}")
turned = np.convolve([1, 4, 2, 2], [1, -1], "valid")
print(f"5. np.convolve: {turned}, and the table above has [-3 2 0]")
assert first.tolist() == [1, 0, 0] and relative_error(lost, dx) > 0.1 and padded[0, 0] == 1 and inside[0, 0] == 0

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 21` (from the repository's root): which rows stand in which window; the maximum backward,
# with ties; and a convolution that this lesson does not have: an average in place of the maximum, with steps of two.
# %%
print("lesson 21 done: a convolution is a perceptron on overlapping rows; its maximum sends the gradient to one place")
