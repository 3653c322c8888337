# %% [markdown]
# # Lesson 21. CNN: a window slides, and the strongest place speaks
#
# *Before it: lesson 05 (the perceptron) and 03 (scatter-add). About 30 minutes.*
#
# The convolutional competitor looks at $w$ behaviours in a row, through a window that slides over the history. In each place a
# feature map says how much it sees of its pattern; only the maximum over the places is kept:
#
# $$ z_{pf} = \mathrm{relu}\Big( \sum_{j=0}^{w-1} x_{p+j}\, W_j + b \Big)_f \qquad y_f = \max_p z_{pf} $$
#
# $x$ is $[n, D]$, $W$ is $[w, D, F]$. The paper takes windows of $w$ = 1 to 10 with $F$ = 32 maps each; the 320 maxima are mapped
# to the user vector. It says nothing on padding. Ours: windows lie inside the history; one that is shorter than $w$ is filled up
# with zeros at its end; an empty one gives zeros.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.convolution import convolution_backward, convolution_forward, windows


# %% [markdown]
# ## The slow version, symbol by symbol: one history
# %%
def convolution_slow(x, W, b):  # [n,D], [w,D,F], [F] -> [F]
    w, D, F = W.shape
    y = np.zeros(F)
    for f in range(F):
        for p in range(max(len(x) - w + 1, 1) if len(x) else 0):
            z = b[f]
            for j in range(w):
                for k in range(D if p + j < len(x) else 0):  # beyond the end: zeros
                    z += x[p + j, k] * W[j, k, f]
            y[f] = max(y[f], z)  # the first comparison is with 0: that is the relu
    return y


rng = np.random.default_rng(21)
n, w, D, F = 5, 3, 2, 4
x, W, b, dy = (rng.standard_normal(shape) for shape in ((n, D), (w, D, F), F, F))
b += 1  # so that every map finds something: where all z are 0, their maximum has a kink, and no derivative

# %% [markdown]
# ## The gradient in atoms
#
# Lay every window out as one long row: $[P, wD]$. Then the convolution is **one matrix product**, a perceptron that is shown
# overlapping pieces of the history, and two old rules are enough. New are the ends:
#
# * **Max.** $y_f = z_{p^* f}$: moving another place moves nothing. The gradient goes to **one** place, the first of equals.
# * **Windows overlap.** Behaviour $i$ stands in up to $w$ rows; its gradients ADD, as those of repeated ids do (lesson 03).
# %%
P = n - w + 1
rows = np.arange(P)[:, None] + np.arange(w)  # the behaviours in each window
laid_out = x[rows].reshape(P, w * D)  # F1
flat = W.reshape(w * D, F)
s = laid_out @ flat + b  # F2
z = np.maximum(s, 0)  # F3
best = z.argmax(0)  # a tie goes to the first
y = z[best, np.arange(F)]  # F4
assert relative_error(y, convolution_slow(x, W, b)) < 1e-15

dz = np.zeros_like(z)
dz[best, np.arange(F)] = dy  # B4: no += is needed, a map has one maximum
ds = dz * (z > 0)  # B3
dlaid_out, dW, db = ds @ flat.T, (laid_out.T @ ds).reshape(W.shape), ds.sum(0)  # B2
dx = np.zeros_like(x)
np.add.at(dx, rows, dlaid_out.reshape(P, w, D))  # B1: a sum over the windows that a behaviour stands in

peak = lambda z: (dy * z.max(0)).sum()
from_s = lambda s: peak(np.maximum(s, 0))
slow = lambda _: dy @ convolution_slow(x, W, b)
assert scoreboard(
    ("z", dz, z, peak),
    ("s", ds, s, from_s),
    ("laid out", dlaid_out, laid_out, lambda laid_out: from_s(laid_out @ flat + b)),
    *[("W", dW, W, slow), ("b", db, b, slow), ("x", dx, x, slow)],
)
print("each behaviour stands in so many windows:", np.bincount(rows.ravel()), "; places that hear of the 4 maps:", best)

# %% [markdown]
# ## The package: histories packed, `windows` says which rows are in which window
#
# Below, histories of 4, 0, 2 and 1 behaviours, and $w = 3$. The first has two places, the empty one none, the short ones have one
# place each; their missing behaviours are row 7, one after the last, which holds zeros.
# %%
offsets = np.array([0, 4, 4, 6, 7])
places, place_offsets = windows(offsets, w)
print(places.tolist(), place_offsets)
assert places.tolist() == [[0, 1, 2], [1, 2, 3], [4, 5, 7], [6, 7, 7]] and place_offsets.tolist() == [0, 2, 2, 3, 4]
x7, dy4 = rng.standard_normal((7, D)), rng.standard_normal((4, F))
y4, cache = convolution_forward(x7, W, b, offsets)
for h in range(4):
    assert relative_error(y4[h], convolution_slow(x7[offsets[h] : offsets[h + 1]], W, b)) < 1e-14
total = lambda _: (dy4 * [convolution_slow(x7[start:stop], W, b) for start, stop in zip(offsets[:-1], offsets[1:])]).sum()
package = convolution_backward(dy4, cache)
assert scoreboard(*[(f"packed: {name}", by, at, total) for name, by, at in zip("xWb", package, (x7, W, b))])
one, cache = convolution_forward(x, W, b, np.array([0, n]))
assert all(relative_error(*pair) < 1e-14 for pair in zip(convolution_backward(dy[None], cache), (dx, dW, db)))

# %% [markdown]
# ## With a pencil
#
# $D = F = 1$, $x$ = (1, 4, 2, 2), $w = 2$, $W$ = (1, −1), $b = 0$: "less than before". Sums 1 − 4 = −3, 2, 0; relu 0, 2, 0; the
# maximum 2 stands in place 1, in the window of 4 and 2. With `dy` = 5: `dW` = 5 · (4, 2), `dx` = (0, 5, −5, 0). The other two
# behaviours hear nothing.
# %%
pencil, cache = convolution_forward(np.array([[1.0], [4], [2], [2]]), np.array([[[1.0]], [[-1]]]), np.zeros(1), np.array([0, 4]))
pencil_dx, pencil_dW, _ = convolution_backward(np.array([[5.0]]), cache)
print("pencil: y", pencil[0], "  dx", pencil_dx[:, 0], "  dW", pencil_dW.ravel())
assert pencil == 2 and pencil_dx[:, 0].tolist() == [0, 5, -5, 0] and pencil_dW.ravel().tolist() == [20, 10]

# %% [markdown]
# ## What it can say, and what not
#
# A maximum says "there is such a place", not where and not how often. Say a history twice, or shuffle it: for $w = 1$ nothing
# changes; for larger windows order matters, within $w$ behaviours. And a map listens to one window at a time: of a history of 40
# a map of $w = 3$ teaches three behaviours, and self-attention all of them.
# %%
length, maps = 40, 32
long = rng.standard_normal((length, 16))
of = lambda x, W: convolution_forward(x, W, np.zeros(maps), np.array([0, len(x)]))
filters = {size: rng.standard_normal((size, 16, maps)) / np.sqrt(16 * size) for size in range(1, 11)}
for size in (1, 3):
    once, twice, shuffled = (of(h, filters[size])[0] for h in (long, np.tile(long, (2, 1)), rng.permutation(long)))
    by_saying, by_shuffling = np.abs(twice - once).max(), np.abs(shuffled - once).max()
    print(f"w = {size}: said twice, y changes by {by_saying:.2f}; shuffled, by {by_shuffling:.2f}")
    assert (np.allclose(twice, once) and np.allclose(shuffled, once)) == (size == 1)
heard = np.zeros((10, length), int)
for size in filters:
    *_, in_window, _, _, best_place = of(long, filters[size])[1]
    np.add.at(heard[size - 1], in_window[best_place[0]], 1)
print("32 maps; the share of 40 behaviours that no map listens to, by w:", (heard == 0).mean(1).round(2))

# %% [markdown]
# ## The picture
# %%
with figure("21_cnn", columns=2, size=(12.5, 4.2)) as (fig, axes):
    axes[0].imshow(z.T, cmap="Blues", aspect="auto", vmax=2 * z.max())
    for p, f in np.ndindex(P, F):
        axes[0].text(p, f, f"{z[p, f]:.2f}", ha="center", va="center")
    axes[0].plot(best, range(F), "s", ms=40, mfc="none", mec="C3", mew=2)
    axes[0].set(title="z of one history: the squares hear the gradient", xticks=range(P), yticks=range(F), ylabel="feature map")
    axes[0].set_xticklabels([f"behaviours {r[0]} to {r[-1]}" for r in rows])
    shades = axes[1].imshow(heard, cmap="Blues", aspect="auto")
    fig.colorbar(shades, ax=axes[1])
    axes[1].set(title="how many of 32 maps send their gradient to a behaviour", xlabel="behaviour", ylabel="window w")
    axes[1].set_yticks(range(10), range(1, 11))

# %% [markdown]
# ## What people get wrong
# %%
equal = np.array([[2.0], [2], [1]])
_, cache = convolution_forward(equal, np.ones((1, 1, 1)), np.zeros(1), np.array([0, 3]))
first, both = convolution_backward(np.ones((1, 1)), cache)[0].ravel(), 1.0 * (equal == equal.max()).ravel()
print(f"1. two equal maxima: {first}, one place; `dy * (z == z.max())` says {both}: W would hear of it twice")
lost = np.zeros_like(dx)
lost[rows] += dlaid_out.reshape(P, w, D)
print(f"2. `dx[rows] += …` where windows overlap: error {relative_error(lost, dx):.2f}")
away, high = np.array([[-2.0], [-1]]), np.array([1.0])  # a map that dislikes what is there: 1 - 2 and 1 - 1, both relu to 0
inside = convolution_forward(away, np.ones((1, 1, 1)), high, np.array([0, 2]))[0]
padded = convolution_forward(np.concatenate([away, np.zeros((3, 1))]), np.ones((1, 1, 1)), high, np.array([0, 5]))[0]
print(f"3. padded to length 5: zeros have relu(b) = {padded[0, 0]:.0f} and win; among the behaviours it is {inside[0, 0]:.0f}")
mixed, _ = convolution_forward(x7, W, b, np.array([0, 7]))
print(f"4. offsets ignored: windows reach over the border, and a stranger wins: error {np.abs(mixed - y4[0]).max():.2f}")
print("5. np.convolve turns the filter round:", np.convolve([1, 4, 2, 2], [1, -1], "valid"), "; the pencil's sums were [-3 2 0]")
assert first.tolist() == [1, 0, 0] and relative_error(lost, dx) > 0.1 and padded[0, 0] == 1 and inside[0, 0] == 0

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 21`: where the windows are, and the maximum backward with its ties.
# %%
print("lesson 21 done: a convolution is a perceptron on overlapping rows; its maximum sends the gradient to one place")
