# %% [markdown]
# # Lesson 09. Attention vectors (5): the whole backward pass of self-attention
#
# *Before it: lesson 07 (softmax) and 08 (scores). If you only want to derive attention's backward pass, this lesson is enough
# alone. About 45 minutes.*
#
# Each behaviour asks all behaviours of its history, in $K$ spaces, and takes a weighted sum of what they offer:
#
# $$ (2)\ S_k = F_{P_k}(S) \qquad (4)\ \text{scores} = S_k W_k S^\top \qquad (3)\ A_k = \mathrm{softmax}(\text{scores})
#    \qquad (5)\ C_k = A_k\, F_{Q_k}(S) $$
#
# (Numbers in brackets are the paper's equations; every sign is explained in the list below.) $S$ is $[n, D]$: $n$ rows of $D$
# numbers. $F_\theta(x) = \mathrm{relu}(x\,\theta_W + \theta_b)$; the $C_k$, each $[n, d]$ with $d = D/K$, are put side by side.
# In one space we write: `s` $= S_k$ (queries), `key` $= S W_k^\top$, `v` $= F_{Q_k}(S)$ (values), `x` the scores, `a` the
# weights, `c` $= C_k$.
#
# ## What the signs mean
#
# * A history is what a user did so far: $n$ behaviours, such as clicks. $S$ has a row of $D$ numbers for each.
# * $P_k$ and $Q_k$ are two sets of parameters, each a matrix $[D, d]$ and a bias $[d]$; in code `P_W`, `P_b`, `Q_W`, `Q_b`.
#   $W_k$ is a matrix $[d, D]$.
# * $A B$ is the matrix product, `A @ B` in NumPy; $A^\top$ is the transpose, `A.T`.
# * Softmax makes weights of a row of numbers $x$: $a_i = e^{x_i} / \sum_m e^{x_m}$. They are positive and their sum is 1.
# * **$dZ$** (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$, and
#   $dZ_{ij} = \partial L / \partial Z_{ij}$: how much $L$ grows if this one number grows a little, per unit.
# * $L$ is one number. In the whole model it comes from the layers above, which hand down $dc$, the **upstream gradient**. Here
#   there is nothing above, so we make a loss of our own: $L = \sum_{ij} dc_{ij}\, c_{ij}$ with random numbers $dc$, drawn once.
#   Its derivative by $c$ is $dc$, as it should be. Random, for with equal numbers some wrong gradients would look right.
# * $A \circ B$ is the product entry by entry, `A * B` in NumPy. So $L$ is the sum over all entries of $dc \circ c$.
# * $\langle a, b \rangle = \sum_j a_j b_j$ is the scalar product of two rows.
# * $[\,\cdot\,]$ around a condition is 1 where it holds and 0 where it does not: $[y > 0]$, in NumPy `(y > 0)`.
# * $\mathrm{relu}(z) = \max(z, 0)$, entry by entry.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard` takes
#   rows of four: a name, our gradient, the array it belongs to, and the rest of the computation as a function of this array, up
#   to the number $L$. It moves each entry by a little to both sides, watches $L$, and says whether our gradient agrees.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward, softmax_forward


# %% [markdown]
# ## The slow version of one space: one behaviour asks after the other
# %%
def space_slow(S, P_W, P_b, W, Q_W, Q_b):  # [n,D], [D,d], [d], [d,D], [D,d], [d] -> [n,d]
    c = np.zeros((len(S), len(P_b)))
    for i in range(len(S)):  # i asks
        s_i = np.maximum(S[i] @ P_W + P_b, 0)  # (2)
        e = [np.exp(s_i @ W @ S[j]) for j in range(len(S))]  # (4)
        for j in range(len(S)):  # j answers
            c[i] += e[j] / sum(e) * np.maximum(S[j] @ Q_W + Q_b, 0)  # (3), (5)
    return c


rng = np.random.default_rng(9)
n, D, d = 5, 7, 3
S, dc = rng.standard_normal((n, D)), rng.standard_normal((n, d))  # dc: the upstream gradient, random numbers
(P_W, Q_W), (P_b, Q_b) = 0.5 * rng.standard_normal((2, D, d)), rng.standard_normal((2, d))
W = 0.5 * rng.standard_normal((d, D))


# %% [markdown]
# ## Four rules are all we need
#
# All of them are the chain rule: if $L$ depends on a number $z$ only through other numbers $y_1, y_2, …$, then
# $dz = \sum_i dy_i\, \partial y_i/\partial z$. If $z$ grows a little, each $y_i$ grows by its slope times that, each moves $L$ by
# $dy_i$ times its growth, and the changes add up.
#
# **1. Product** $Y = A B$, so $Y_{ij} = \sum_p A_{ip} B_{pj}$. Growing $A_{ip}$ by 1 grows each $Y_{ij}$ of row $i$ by $B_{pj}$:
#
# $$ dA_{ip} = \sum_j dY_{ij}\, B_{pj} \quad\text{that is}\quad dA = dY\,B^\top \qquad\qquad
#    dB_{pj} = \sum_i A_{ip}\, dY_{ij} \quad\text{that is}\quad dB = A^\top dY $$
#
# If the second factor is a transpose, $Y = A K^\top$, then $B = K^\top$. So $dA = dY\,K$, and $dK = (dB)^\top = dY^\top A$.
#
# **2. Softmax** of a row, $a_i = e^{x_i}/z$ with $z = \sum_m e^{x_m}$. Its derivative by $x_j$: only one term of $z$ holds $x_j$,
# so $\partial z/\partial x_j = e^{x_j}$. The numerator $e^{x_i}$ holds $x_j$ only if $i = j$, so its derivative is
# $[i = j]\, e^{x_i}$. Now the quotient rule, $(u/z)' = (u' z - u z')/z^2$:
#
# $$ \frac{\partial a_i}{\partial x_j} = \frac{[i = j]\, e^{x_i}\, z - e^{x_i}\, e^{x_j}}{z^2}
#    = [i = j]\,\frac{e^{x_i}}{z} - \frac{e^{x_i}}{z}\,\frac{e^{x_j}}{z} = [i = j]\, a_i - a_i\, a_j $$
#
# The chain rule adds up over all weights of the row. The term with $[i = j]$ leaves one summand:
#
# $$ dx_j = \sum_i da_i\, \frac{\partial a_i}{\partial x_j} = da_j\, a_j - a_j \sum_i da_i\, a_i
#    = a_j\,(da_j - \langle a, da\rangle) $$
#
# **3. Relu** $y = \max(z, 0)$ has the slope 1 where $z > 0$ and 0 where $z < 0$: $dz = dy \circ [y > 0]$. (At $z = 0$ there is no
# slope; we take 0.)
#
# **4. Several uses add up**: what is used twice gets the sum of two gradients. In $Y = A B + b$ the bias $b$ is used in each row,
# so $db_j = \sum_i dY_{ij}$.
#
# First rule 2 alone, against numeric derivatives. Row $i$ of `numeric` holds $\partial a_i/\partial x_j$ for all $j$.
# %%
def softmax(x):  # [n,m] -> [n,m], row by row
    return softmax_forward(x)[0]


row = rng.standard_normal(4)
a = softmax(row[None])[0]
numeric = np.zeros((4, 4))
for j in range(4):
    step = np.zeros(4)
    step[j] = 1e-5
    numeric[:, j] = (softmax((row + step)[None])[0] - softmax((row - step)[None])[0]) / 2e-5
assert relative_error(np.diag(a) - np.outer(a, a), numeric) < 1e-8  # [i = j] a_i - a_i a_j

# %% [markdown]
# ## Forward, every step with a number
# %%
zs = S @ P_W + P_b  # F1 [n,d]
s = np.maximum(zs, 0)  # F2 [n,d] (2)
key = S @ W.T  # F3 [n,d]
zv = S @ Q_W + Q_b  # F4 [n,d]
v = np.maximum(zv, 0)  # F5 [n,d]
x = s @ key.T  # F6 [n,n] (4)
a = softmax(x)  # F7 [n,n] (3)
c = a @ v  # F8 [n,d] (5)
assert relative_error(c, space_slow(S, P_W, P_b, W, Q_W, Q_b)) < 1e-14

# %% [markdown]
# ## Backward, from the last step to the first, one rule at a time
#
# B8 belongs to F8, and so on. In index notation the two products of attention are
#
# $$ da_{ij} = \sum_p dc_{ip}\, v_{jp} \quad dv_{jp} = \sum_i a_{ij}\, dc_{ip} \qquad
#    ds_{ip} = \sum_j dx_{ij}\, key_{jp} \quad dkey_{jp} = \sum_i dx_{ij}\, s_{ip} $$
#
# Value $j$ was given to every reader $i$, and key $j$ was met by every query $i$: their gradients sum over $i$.
# %%
da = dc @ v.T  # B8, rule 1, by the first factor of c = a v
dv = a.T @ dc  # B8, rule 1, by the second
dx = a * (da - (a * da).sum(1, keepdims=True))  # B7, rule 2 in each row
ds = dx @ key  # B6, rule 1: x = s keyᵀ, a transpose, so ds has key and not keyᵀ …
dkey = dx.T @ s  # B6 … and dkey has dx transposed
dzv = dv * (v > 0)  # B5, rule 3
dQ_W = S.T @ dzv  # B4, rule 1
dQ_b = dzv.sum(0)  # B4, rule 4: the bias is used in every row
dW = dkey.T @ S  # B3, rule 1: key = S Wᵀ, a transpose again
dzs = ds * (s > 0)  # B2, rule 3
dP_W = S.T @ dzs  # B1, rule 1
dP_b = dzs.sum(0)  # B1, rule 4
dS_query = dzs @ P_W.T  # B1: S is used three times, here as the one who asks …
dS_key = dkey @ W  # B3 … here as the one who is found …
dS_value = dzv @ Q_W.T  # B4 … and here as the one who gives
dS = dS_query + dS_key + dS_value  # rule 4


def loss(c):
    return (dc * c).sum()


def loss_from_x(x):
    return loss(softmax(x) @ v)


def loss_from_zs(zs):
    return loss_from_x(np.maximum(zs, 0) @ key.T)


def whole(_):  # the scoreboard moves one of its arrays in place, so the argument is not needed
    return loss(space_slow(S, P_W, P_b, W, Q_W, Q_b))


assert scoreboard(
    ("a", da, a, lambda a: loss(a @ v)),
    ("v", dv, v, lambda v: loss(a @ v)),
    ("x scores", dx, x, loss_from_x),
    ("s", ds, s, lambda s: loss_from_x(s @ key.T)),
    ("key", dkey, key, lambda key: loss_from_x(s @ key.T)),
    ("zv", dzv, zv, lambda zv: loss(a @ np.maximum(zv, 0))),
    ("zs", dzs, zs, loss_from_zs),
    ("P_W", dP_W, P_W, whole),
    ("P_b", dP_b, P_b, whole),
    ("W_k", dW, W, whole),
    ("Q_W", dQ_W, Q_W, whole),
    ("Q_b", dQ_b, Q_b, whole),
    ("S as query", dS_query, S, lambda S: loss_from_zs(S @ P_W + P_b)),
    ("S as key", dS_key, S, lambda S: loss_from_x(s @ (S @ W.T).T)),
    ("S as value", dS_value, S, lambda S: loss(a @ np.maximum(S @ Q_W + Q_b, 0))),
    ("S", dS, S, whole),
)


# %% [markdown]
# ## Collapsed, and lean in memory
#
# $$ dv = a^\top dc \qquad dx_{ij} = a_{ij}\,(\langle dc_i, v_j\rangle - \langle a_i, da_i\rangle) \qquad
#    ds = dx\; key \qquad dkey = dx^\top s $$
#
# Here $a_i$, $da_i$, $dc_i$, $c_i$, $v_j$ are rows. In row $i$,
# $\langle a_i, da_i\rangle = \sum_j a_{ij} \langle dc_i, v_j\rangle = \langle dc_i, c_i\rangle$: no weight is needed.
# So a row of weights can be made again from `s` and `key` when its turn comes, and nothing that grows with $n^2$ need be kept.
# The price is one more product and exp a pair. (The compiled step does so for histories above 128 behaviours.)
# %%
def attend_backward_lean(dc, c, s, key, v):  # [n,d] five times -> [n,d] three times, with one row of weights at a time
    ds, dkey, dv = np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
    for i in range(len(s)):
        a_i = softmax(s[i : i + 1] @ key.T)[0]
        dx_i = a_i * (v @ dc[i] - dc[i] @ c[i])
        ds[i] = dx_i @ key
        dkey, dv = dkey + np.outer(dx_i, s[i]), dv + np.outer(a_i, dc[i])
    return ds, dkey, dv


assert all(relative_error(*pair) < 1e-13 for pair in zip(attend_backward_lean(dc, c, s, key, v), (ds, dkey, dv)))
print("K = 8, D = 128:", *[f"n = {n}: {8 * n**2:,} weights beside {n * 128:,} numbers in S" for n in (10, 100, 1000)], sep="\n  ")


# %% [markdown]
# ## The package: all spaces, all histories
#
# Spaces do not meet: space $k$ has columns $kd … (k+1)d - 1$ of queries, keys, values and $C$; the gradient of $S$ adds up over
# spaces. Nor do histories: $b$ is rows `offsets[b]:offsets[b+1]`; parameters' gradients add up over them. One of ours is empty.
# `attention_backward` gives $S$ in two parts: as the one who asks (`dx`) and as those who are asked (`dm`). (In the model $S$ has
# one more use, beside the attention: lesson 11.)
# %%
def one_space_backward(dc, S, P_W, P_b, W, Q_W, Q_b):
    s, key, v = np.maximum(S @ P_W + P_b, 0), S @ W.T, np.maximum(S @ Q_W + Q_b, 0)
    ds, dkey, dv = attend_backward_lean(dc, softmax(s @ key.T) @ v, s, key, v)
    dzs, dzv = ds * (s > 0), dv * (v > 0)
    return dzs @ P_W.T, dkey @ W + dzv @ Q_W.T, S.T @ dzs, dzs.sum(0), dkey.T @ S, S.T @ dzv, dzv.sum(0)


K, D, offsets = 3, 3 * d, np.array([0, 4, 4, 5, 11])
S, dC, W = rng.standard_normal((11, D)), rng.standard_normal((11, D)), 0.3 * rng.standard_normal((K, d, D))
(P_W, Q_W), (P_b, Q_b) = 0.5 * rng.standard_normal((2, D, D)), rng.standard_normal((2, D))
C, cache = attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, offsets, offsets)
package = attention_backward(dC, cache)
ours = [np.zeros_like(array) for array in package]
for start, stop in zip(offsets[:-1], offsets[1:]):
    for k in range(K if stop > start else 0):
        rows, cols = slice(start, stop), slice(k * d, (k + 1) * d)
        own = S[rows], P_W[:, cols], P_b[cols], W[k], Q_W[:, cols], Q_b[cols]
        assert relative_error(C[rows, cols], space_slow(*own)) < 1e-13
        places = (rows, rows, (slice(None), cols), cols, k, (slice(None), cols), cols)
        for total, place, part in zip(ours, places, one_space_backward(dC[rows, cols], *own)):
            total[place] += part
assert all(relative_error(mine, theirs) < 1e-12 for mine, theirs in zip(ours, package))

# %% [markdown]
# ## With a pencil
#
# One query, two keys, $d = 1$: `s` = 1, `key` = (0, ln 3), `v` = (8, 4). Weights ¼ and ¾, so `c` = 2 + 3 = 5. Let `dc` = 1.
# Then `dv` = (¼, ¾), `da` = (8, 4), its mean 5 (it is `c`, as promised), `dx` = (¼·3, ¾·(−1)) = (¾, −¾).
# %%
pencil_a, pencil_v = softmax(np.array([0, np.log(3)])), np.array([8.0, 4])
print("weights", pencil_a, "  c", pencil_a @ pencil_v, "  dx", pencil_a * (pencil_v - pencil_a @ pencil_v))
assert np.allclose(pencil_a * (pencil_v - pencil_a @ pencil_v), [0.75, -0.75])

# %% [markdown]
# ## The picture
#
# The boxes are the forward pass, from left to right. The arrows are the backward pass, from right to left.
# %%
BOXES = {"S": (0, 1, 0.32, "S\n[n,D]"), "s": (2.4, 2, 0.66, "s = relu(S P + b)\n[n,d]")}
BOXES |= {"key": (2.4, 1, 0.5, "key = S Wᵀ\n[n,d]"), "v": (2.4, 0, 0.66, "v = relu(S Q + b)\n[n,d]")}
BOXES |= {"x": (4.9, 1.5, 0.45, "x = s keyᵀ\n[n,n]"), "a": (7.7, 1.5, 0.6, "a = softmax(x)\n[n,n]")}
BOXES |= {"c": (9.9, 1, 0.35, "c = a v\n[n,d]")}
ARROWS = {"S s": "(ds ∘ [s>0]) Pᵀ", "S key": "dkey W", "S v": "(dv ∘ [v>0]) Qᵀ", "s x": "ds = dx key", "key x": "dkey = dxᵀ s"}
ARROWS |= {"x a": "dx = a ∘ (da − ⟨a, da⟩)", "a c": "da = dc vᵀ", "v c": "dv = aᵀ dc"}
with figure("09_self_attention", size=(12, 4)) as (fig, ax):
    for arrow, words in ARROWS.items():
        (x0, y0, left, _), (x1, y1, right, _) = (BOXES[name] for name in arrow.split())
        x0, x1 = x0 + left, x1 - right
        ax.annotate("", (x0, y0), (x1, y1), arrowprops=dict(arrowstyle="-|>", color="C3", lw=1.5, shrinkA=0, shrinkB=0))
        background = dict(fc="white", ec="none", pad=1)
        ax.text((x0 + x1) / 2, (y0 + y1) / 2, words, color="C3", ha="center", va="center", bbox=background)
    for x0, y0, _, words in BOXES.values():
        ax.text(x0, y0, words, ha="center", va="center", bbox=dict(boxstyle="round,pad=0.4", fc="#e8f0fa", ec="C0"))
    ax.set(xlim=(-0.6, 10.5), ylim=(-0.35, 2.5), title="dc comes in at the right; at the left three roads add up to dS")
    ax.axis("off")

# %% [markdown]
# ## What people get wrong
# %%
for number, words, wrong, right in (
    (1, "S only as query, its roads as key and value forgotten", dS_query, dS),
    (2, "dkey without the transpose: n × n fits either way", dx @ s, dkey),
    (3, "softmax's mean over the queries (down) in place of the keys", a * (da - (a * da).sum(0)), dx),
):
    print(f"{number}. {words}: error {relative_error(wrong, right):.2f}")
    assert relative_error(wrong, right) > 0.1
mixed, _ = attention_forward(S, S, P_W, P_b, W, Q_W, Q_b, np.array([0, 11]), np.array([0, 11]))
print(f"4. offsets ignored, strangers look into each other's histories: error {relative_error(mixed, C):.2f}")
assert relative_error(mixed, C) > 0.1

# %% [markdown]
# ## Your turn
#
# Write it yourself, then find a fault in a stranger's: `python -m lessons.exercises check 09` (from the repository's root).
# %%
print("lesson 09 done: self-attention backward from four rules: 16 gradients proved, then packed, then lean")
