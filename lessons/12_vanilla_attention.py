# %% [markdown]
# # Lesson 12. Vanilla attention (7): what the user means to this target
#
# *Before it: lesson 09 (self-attention) and 11 (the block F). About 30 minutes.*
#
# After (6) every behaviour has a vector in $C$ $[n, D]$. To rank a target, the user must become **one** vector. What a
# user did means one thing to a pair of shoes and another to a book: so the target asks, and the behaviours answer.
#
# $$ s_k = F_{P_k}(h_t) \qquad c_k = \mathrm{softmax}(s_k W_k C^\top)\, F_{Q_k}(C) $$
# $$ (7)\qquad e_t^u = F_{vanilla}(\mathrm{concat}_k\, c_k) $$
#
# $h_t$ $[D]$ is the target in the common space. The letters are those of self-attention, the numbers are not: $P, W, Q$ here
# are parameters of their own. New is who asks: not the history itself, but its $q$ targets. They **share one history**, and
# that changes the backward pass.

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
from atrank_np.layers.feedforward import feed_forward_forward


# %% [markdown]
# ## The slow version: one target, one space
# %%
def vanilla_slow(h_t, C, P_W, P_b, W, Q_W, Q_b):  # [D], [n,D], [D,d], [d], [d,D], [D,d], [d] -> [d]
    s = np.maximum(h_t @ P_W + P_b, 0)
    e = [np.exp(s @ W @ C[j]) for j in range(len(C))]
    c = np.zeros(len(P_b))
    for j in range(len(C)):
        c += e[j] / sum(e) * np.maximum(C[j] @ Q_W + Q_b, 0)
    return c  # an empty history: a sum over nothing, zeros


rng = np.random.default_rng(12)
q, n, D, d = 3, 5, 7, 2
h, C, dc = rng.standard_normal((q, D)), rng.standard_normal((n, D)), rng.standard_normal((q, d))
(P_W, Q_W), (P_b, Q_b) = 0.5 * rng.standard_normal((2, D, d)), rng.standard_normal((2, d))
W = 0.5 * rng.standard_normal((d, D))
all_slow = lambda: np.array([vanilla_slow(h[t], C, P_W, P_b, W, Q_W, Q_b) for t in range(q)])

# %% [markdown]
# ## The gradient in atoms, target by target
#
# For one target this is lesson 09 with a single row of queries. Keys and values are made **once**; every target reads them;
# so every target hands them a gradient, and these add up. Watch the `+=`.
# %%
zs = h @ P_W + P_b
s, key, v = np.maximum(zs, 0), C @ W.T, np.maximum(C @ Q_W + Q_b, 0)
a = softmax_forward(s @ key.T)[0]  # [q,n]: a row of weights for every target

dx, ds, dkey, dv = np.zeros_like(a), np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
for t in range(q):
    dx[t] = softmax_backward(v @ dc[t], a[t])  # by the scores of target t
    ds[t] = dx[t] @ key  # the target's own
    dkey += np.outer(dx[t], s[t])  # shared: the sum over the targets
    dv += np.outer(a[t], dc[t])  # shared
dzs, dzv = ds * (s > 0), dv * (v > 0)
dh = dzs @ P_W.T  # a target sees its own gradient only
dC = dkey @ W + dzv @ Q_W.T  # the history: two roads, all targets
dW, dP_W, dQ_W = dkey.T @ C, h.T @ dzs, C.T @ dzv

loss = lambda c: (dc * c).sum()
slow = lambda _: loss(all_slow())
assert scoreboard(
    ("scores", dx, s @ key.T, lambda x: loss(softmax_forward(x)[0] @ v)),
    ("s", ds, s, lambda s: loss(softmax_forward(s @ key.T)[0] @ v)),
    ("key", dkey, key, lambda key: loss(softmax_forward(s @ key.T)[0] @ v)),
    ("v", dv, v, lambda v: loss(a @ v)),
    ("zs", dzs, zs, lambda zs: loss(softmax_forward(np.maximum(zs, 0) @ key.T)[0] @ v)),
    *[("h", dh, h, slow), ("C", dC, C, slow), ("P_W", dP_W, P_W, slow), ("W", dW, W, slow), ("Q_W", dQ_W, Q_W, slow)],
)

# %% [markdown]
# ## Collapsed: the sum over targets is a matrix product
#
# $$ dv = a^\top dc \qquad dx = a \circ (dc\,v^\top - \langle a, da\rangle) \qquad ds = dx\;key \qquad dkey = dx^\top s $$
#
# Letter by letter lesson 09, with $[q, n]$ in place of $[n, n]$. So the package has one function for both.
# %%
dx_all = softmax_backward(dc @ v.T, a)
for loop, product in ((dv, a.T @ dc), (dkey, dx_all.T @ s), (ds, dx_all @ key)):
    assert relative_error(loop, product) < 1e-13

# %% [markdown]
# ## Which side does W go to?
#
# $s W C^\top$ is $s\,(C W^\top)^\top$, keys first, and as well $(s W)\,C^\top$. Where targets are few, fewer rows go through $W$
# that way, but a pair costs $D$ multiplications a space, not $d$. All $K$ = 8 spaces, $d$ = 16, with $n$ = 8 behaviours and
# $q$ = 2 targets: $n D^2 + n q D$ = 133,120 against $q D^2 + n q K D$ = 49,152. Layers and kernels keep to the
# first order, as these here: in a whole step the second saves next to nothing. Both give the same gradients.
# %%
fold, dfold = s @ W, dx_all @ C
for keys_first, queries_first in ((s @ key.T, fold @ C.T), (ds, dfold @ W.T), (dW, s.T @ dfold), (dkey @ W, dx_all.T @ fold)):
    assert relative_error(keys_first, queries_first) < 1e-13

# %% [markdown]
# ## The package: `attention_forward(h, C, …, target_offsets, offsets)`
#
# Targets of history $b$ are rows `target_offsets[b]:target_offsets[b+1]`, its behaviours `offsets[b]:offsets[b+1]`. The second
# history is empty. Its two targets get zeros, no gradient by this road, and $F_{vanilla}(0)$, the same user for both.
# %%
K, D = 2, 4
target_offsets, offsets = np.array([0, 3, 5, 6]), np.array([0, 5, 5, 7])
h, C = rng.standard_normal((6, D)), rng.standard_normal((7, D))
(P_W, Q_W), (P_b, Q_b) = rng.standard_normal((2, D, D)), rng.standard_normal((2, D))
W = 0.5 * rng.standard_normal((K, d, D))
c, cache = attention_forward(h, C, P_W, P_b, W, Q_W, Q_b, target_offsets, offsets)
for b in range(3):
    for t in range(*target_offsets[b : b + 2]):
        for k in range(K):
            cols = slice(k * d, (k + 1) * d)
            own = P_W[:, cols], P_b[cols], W[k], Q_W[:, cols], Q_b[cols]
            assert np.allclose(c[t, cols], vanilla_slow(h[t], C[slice(*offsets[b : b + 2])], *own))
r = rng.standard_normal(c.shape)
dh, dC, *_ = attention_backward(r, cache)
f = lambda _: (r * attention_forward(h, C, P_W, P_b, W, Q_W, Q_b, target_offsets, offsets)[0]).sum()
assert scoreboard(("h, packed", dh, h, f), ("C, packed", dC, C, f))
F = [0.5 * rng.standard_normal(shape) for shape in ((D, D), D, (D, D), D, D, D)]  # F_vanilla: W1 b1 W2 b2 gain bias
e, _ = feed_forward_forward(c, *F)  # (7)
assert (c[3:5] == 0).all() and (dh[3:5] == 0).all() and (e[3] == e[4]).all()

# %% [markdown]
# ## With a pencil
#
# Two targets with queries 1 and 0; keys 0 and ln 3; values 8 and 4; $d = 1$. Weights (¼, ¾) and (½, ½), so $c$ = 5 and 6.
# Let $dc$ = (1, 2). Then $dv$ = 1·(¼, ¾) + 2·(½, ½) = (1¼, 1¾): both targets have spoken.
# %%
pencil = softmax_forward(np.outer([1, 0], [0, np.log(3)]))[0]
print("c", (pencil @ [8, 4]).round(6), "  dv", pencil.T @ [1, 2])
assert np.allclose(pencil @ [8, 4], [5, 6]) and np.allclose(pencil.T @ [1, 2], [1.25, 1.75])

# %% [markdown]
# ## The picture
#
# Made-up vectors that one can read: a behaviour's four numbers say shoes, book, recent, old. Space 0 compares the kind of
# thing, space 1 asks who is recent. Left: the same history, two targets, and where they look. Right: what value vector $j$ of
# space 0 hears on the way back: a bit from each target, stacked, for two equal $dc_t$ of length 1.
# %%
names = ["shoes", "book", "shoes", "cup", "book", "cup", "shoes", "book"]
told = np.array([[name == "shoes", name == "book", j / 7, 1 - j / 7] for j, name in enumerate(names)])
asks = np.array([[1.0, 0, 1, 0], [0, 1, 1, 0]])  # shoes and a book, both asked for today
compare_kinds, compare_days = 2.5 * np.eye(2, 4), 2.5 * np.eye(2, 4, k=2)
plain = np.eye(4), np.zeros(4), np.stack([compare_kinds, compare_days]), np.eye(4), np.zeros(4)
_, picture = attention_forward(asks, told, *plain, np.array([0, 2]), np.array([0, 8]))
looks = attention_weights(picture)[0]  # [K, q, n]
with figure("12_vanilla_attention", columns=2, size=(12, 3.9)) as (fig, axes):
    axes[0].imshow(looks.reshape(4, 8), cmap="Blues", vmin=0, vmax=0.5, aspect="auto")
    for row, j in np.ndindex(4, 8):
        axes[0].text(j, row, f"{looks.reshape(4, 8)[row, j]:.2f}", ha="center", va="center", fontsize=9)
    rows = [f"target {name}, space {k}" for k in (0, 1) for name in ("shoes", "book")]
    axes[0].set(title="weights: rows sum to 1", xlabel="behaviours, oldest first", xticks=range(8), yticks=range(4))
    axes[0].set(xticklabels=names, yticklabels=rows)
    axes[0].spines[:].set_visible(False)
    axes[1].bar(range(8), looks[0, 0], label="from target shoes")
    axes[1].bar(range(8), looks[0, 1], bottom=looks[0, 0], label="from target book")
    axes[1].set(title="length of dv in space 0: both targets add up", xticks=range(8), xticklabels=names, ylim=(0, 0.45))
    axes[1].legend(ncols=2, loc="upper center")

# %% [markdown]
# ## What people get wrong
# %%
overwritten = np.zeros_like(dv)
for t in range(q):
    overwritten[:] = np.outer(a[t], dc[t])  # 1. `=` in place of `+=`: the last target alone is heard
print(f"1. overwritten: error of dv {relative_error(overwritten, dv):.2f}")
assert relative_error(overwritten, dv) > 0.1

down = lambda x: np.exp(x) / np.exp(x).sum(0)  # 2. softmax over the targets: a target's score depends on its rivals
print("2. target 0 alone:", down((s @ key.T)[:1])[0].round(2), " beside two others:", down(s @ key.T)[0].round(2))
assert relative_error(down((s @ key.T)[:1])[0], down(s @ key.T)[0]) > 0.1

f = lambda _: (h * attention_forward(h, C, P_W, P_b, W, Q_W, Q_b, target_offsets, offsets)[0]).sum()  # 3. f = h · e
as_query, *_ = attention_backward(h, cache)  # h asks, and h is multiplied with the answer: two uses
print("3. a score h · c; its gradient by h as query only, then with both uses:")
assert not scoreboard(("h as query", as_query, h, f)) and scoreboard(("h, both", as_query + c, h, f))

# %% [markdown]
# ## Your turn
#
# One history and its targets, then a bug hunt: `python -m lessons.exercises check 12` (from the repository's root).
# %%
print("lesson 12 done: targets share keys and values, so dC is a sum over targets; an empty history gives zeros")
