# %% [markdown]
# # Lesson 12. Vanilla attention (7): one history, seen by each target
#
# *Before it: lesson 09 (self-attention) and 11 (the block F). About 45 minutes.*
#
# After (6) every behaviour of a history has a vector, a row of $C$ $[n, D]$. To rank a target, an object that the user might
# choose, the history must become **one** vector. Which one depends on the target: what a user did says one thing about a pair
# of shoes, and another about a book. So the target is compared with the behaviours: it asks, and they answer. This is called
# vanilla attention.
#
# You know all the parts from lesson 09. New is who asks: not the history itself, but $q$ targets, and they **share one
# history**. This lesson shows what sharing does to the gradients.
#
# **The conventions** are those of lesson 09:
#
# * $dZ$ is $\partial L/\partial Z$: it has the shape of $Z$, and $dZ_{ij}$ says how fast the loss $L$ grows with $Z_{ij}$.
# * Our loss is $L = \sum_{tp} dc_{tp}\, c_{tp}$, with random numbers $dc$, the upstream gradient: its derivative by $c$ is $dc$.
# * F1 to F8 are the lines of the forward pass. B8 is the way back through F8.
# * $A \circ B$ multiplies entry by entry, $\langle a, b \rangle = \sum_j a_j b_j$, and $[y > 0]$ is 1 where it holds and else 0.
# * `relative_error` is the largest difference divided by the largest entry. `scoreboard` takes rows (name, our gradient, array,
#   rest of the computation as a function of that array), moves each entry of the array in place, and compares.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward, attention_weights, softmax_forward
from atrank_np.layers.feedforward import feed_forward_forward

# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# Two behaviours with the keys 0 and ln 3, and the values 8 and 4. Two targets ask, with the queries 1 and 0.
#
# * Target 1 has the scores 0 and ln 3, so the weights ¼ and ¾, so the result ¼ · 8 + ¾ · 4 = 5.
# * Target 2 has the scores 0 and 0, so the weights ½ and ½, so the result 6.
#
# Same history, two results. Now backward, with $dc$ = 1 for the first target and 2 for the second. How fast does
# $L = 1 · 5 + 2 · 6$ grow with the first value, the 8? Through target 1 by 1 · ¼, through target 2 by 2 · ½, and **both happen
# at the same time**: together 1¼. For the second value: 1 · ¾ + 2 · ½ = 1¾.
# %%
queries, keys, values = np.array([1.0, 0.0]), np.array([0.0, np.log(3)]), np.array([8.0, 4.0])
weights, _ = softmax_forward(np.outer(queries, keys))
print("weights", weights.tolist(), "  results", weights @ values)
assert np.allclose(weights @ values, [5, 6])
dvalues = 1 * weights[0] + 2 * weights[1]
print("gradient of the values", dvalues)
assert np.allclose(dvalues, [1.25, 1.75])


# %% [markdown]
# ## The equations
#
# $$ s_k = F_{P_k}(h_t) \qquad c_k = \mathrm{softmax}(s_k W_k C^\top)\, F_{Q_k}(C) \qquad
#    (7)\quad e_t^u = F_{vanilla}(\mathrm{concat}_k\, c_k) $$
#
# $h_t$ $[D]$ is target $t$ after $F_M$, just as $S_i$ is behaviour $i$ after $F_M$ (lesson 05). $F_\theta$ is the perceptron
# $\mathrm{relu}(x\,\theta_W + \theta_b)$. The letters $P, W, Q$ are those of self-attention, but the parameters are other ones.
# $F_{vanilla}$ is the block of lesson 11. Its result $e_t^u$ is the vector of user $u$ as target $t$ sees them; we write $e_t$.
# We take one space, of width $d$, and leave $k$ away.
#
# The slow version, for one target:
# %%
def vanilla_slow(h_t, C, P_W, P_b, W, Q_W, Q_b):  # [D], [n,D], [D,d], [d], [d,D], [D,d], [d] -> [d]
    n, d = len(C), len(P_b)
    s = np.maximum(h_t @ P_W + P_b, 0)
    powers = np.zeros(n)
    for j in range(n):
        powers[j] = np.exp(s @ W @ C[j])
    c = np.zeros(d)
    for j in range(n):
        c += powers[j] / powers.sum() * np.maximum(C[j] @ Q_W + Q_b, 0)
    return c  # an empty history: a sum over nothing, zeros


rng = np.random.default_rng(12)
q, n, D, d = 3, 5, 7, 2  # three targets, five behaviours
h = rng.standard_normal((q, D))
C = rng.standard_normal((n, D))
dc = rng.standard_normal((q, d))
P_W, Q_W = 0.5 * rng.standard_normal((2, D, d))
P_b, Q_b = rng.standard_normal((2, d))
W = 0.5 * rng.standard_normal((d, D))

# %% [markdown]
# ## Forward, one step a line
#
# Keys and values are made **once** for the history. Row $t$ of $s$, $x$, $a$ and $c$ belongs to target $t$.
# %%
zs = h @ P_W + P_b  # F1 [q,d]
s = np.maximum(zs, 0)  # F2 [q,d]
key = C @ W.T  # F3 [n,d]
zv = C @ Q_W + Q_b  # F4 [n,d]
v = np.maximum(zv, 0)  # F5 [n,d]
x = s @ key.T  # F6 [q,n]
a, _ = softmax_forward(x)  # F7 [q,n]: a row of weights for every target
c = a @ v  # F8 [q,d]
for t in range(q):
    assert np.allclose(c[t], vanilla_slow(h[t], C, P_W, P_b, W, Q_W, Q_b))


# %% [markdown]
# ## Which array belongs to whom?
#
# This question decides everything. $h_t$, $s_t$, $x_t$, $a_t$, $c_t$ are the target's own: no other target reads them. $C$,
# $key$, $v$ and the parameters are shared: every target reads them. The chain rule says: **what is used several times gets the
# sum of its gradients.** So the gradient of a shared array is a sum over the targets. We write it as a loop first.
#
# ## B8. $c_{tp} = \sum_j a_{tj}\, v_{jp}$
#
# The weight $a_{tj}$ stands in row $t$ of $c$ only. The value $v_{jp}$ stands in the row of every target:
#
# $$ da_{tj} = \sum_p dc_{tp}\, v_{jp} \qquad\qquad dv_{jp} = \sum_t a_{tj}\, dc_{tp} $$
# %%
def from_c(c):
    return (dc * c).sum()


def from_a(a):
    return from_c(a @ v)


def from_v(v):
    return from_c(a @ v)


da = np.zeros((q, n))
dv = np.zeros((n, d))
for t in range(q):
    da[t] = v @ dc[t]  # the target's own: `=`
    dv += np.outer(a[t], dc[t])  # shared: `+=`
assert scoreboard(("a", da, a, from_a), ("v", dv, v, from_v))


# %% [markdown]
# ## B7. Softmax, a row for each target
#
# The rule of lesson 09 (and 07), in each row: the weight, times the distance of its gradient from the weighted mean.
#
# $$ dx_{tj} = a_{tj}\,\big(da_{tj} - \langle a_t, da_t \rangle\big) $$
# %%
def from_x(x):
    a, _ = softmax_forward(x)
    return from_a(a)


dx = np.zeros((q, n))
for t in range(q):
    dx[t] = a[t] * (da[t] - a[t] @ da[t])
assert scoreboard(("x", dx, x, from_x))


# %% [markdown]
# ## B6. $x_{tj} = \sum_p s_{tp}\, key_{jp}$
#
# The query $s_t$ stands in row $t$ of $x$ only; the key of behaviour $j$ stands in column $j$, once for each target:
#
# $$ ds_{tp} = \sum_j dx_{tj}\, key_{jp} \qquad\qquad dkey_{jp} = \sum_t dx_{tj}\, s_{tp} $$
# %%
def from_s(s):
    return from_x(s @ key.T)


def from_key(key):
    return from_x(s @ key.T)


ds = np.zeros((q, d))
dkey = np.zeros((n, d))
for t in range(q):
    ds[t] = dx[t] @ key  # the target's own
    dkey += np.outer(dx[t], s[t])  # shared
assert scoreboard(("s", ds, s, from_s), ("key", dkey, key, from_key))


# %% [markdown]
# ## B5 to B1. The relus, the history, the targets, the parameters
#
# The rules are those of lesson 09. A relu passes on what belongs to a positive number: $dzv = dv \circ [v > 0]$. A product
# $Y = A B$ gives $dA = dY B^\top$ and $dB = A^\top dY$. A bias is used in every row, so it gets the sum over the rows. And
# $key_{jp} = \sum_m C_{jm}\, W_{pm}$ gives $dW_{pm} = \sum_j dkey_{jp}\, C_{jm}$, that is $dW = dkey^\top C$. $C$ has two
# uses, as key and as value. $h$ has one: it asks. (In lesson 09 both were $S$, and so the attention's $dS$ was a sum of three:
# query, key, value. The residual connection there was a fourth use.) Each row of $dh$ is the target's own, for $dzs$ is.
#
# $$ dC = dkey\; W + dzv\; Q_W^\top \qquad\qquad dh = dzs\; P_W^\top $$
# %%
def loss_of(h, C, P_W, P_b, W, Q_W, Q_b):  # the whole computation
    total = 0
    for t in range(q):
        total += dc[t] @ vanilla_slow(h[t], C, P_W, P_b, W, Q_W, Q_b)
    return total


dzv = dv * (v > 0)  # B5
dQ_W = C.T @ dzv  # B4
dQ_b = dzv.sum(0)  # B4
dW = dkey.T @ C  # B3
dzs = ds * (s > 0)  # B2
dP_W = h.T @ dzs  # B1
dP_b = dzs.sum(0)  # B1
dC = dkey @ W + dzv @ Q_W.T  # B3 and B4
dh = dzs @ P_W.T  # B1
assert scoreboard(("Q_W", dQ_W, Q_W, lambda Q_W: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("Q_b", dQ_b, Q_b, lambda Q_b: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("W", dW, W, lambda W: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("P_W", dP_W, P_W, lambda P_W: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("P_b", dP_b, P_b, lambda P_b: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("C", dC, C, lambda C: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("h", dh, h, lambda h: loss_of(h, C, P_W, P_b, W, Q_W, Q_b)))

# %% [markdown]
# ## The sum over the targets is a matrix product
#
# $\sum_t a_{tj}\, dc_{tp}$ is entry $(j, p)$ of $a^\top dc$. So the loops become
#
# $$ da = dc\; v^\top \qquad dv = a^\top dc \qquad ds = dx\; key \qquad dkey = dx^\top s $$
#
# Letter by letter this is lesson 09, with $[q, n]$ in place of $[n, n]$. That is why the package has one function for both.
# %%
assert relative_error(da, dc @ v.T) < 1e-13
assert relative_error(dv, a.T @ dc) < 1e-13
assert relative_error(ds, dx @ key) < 1e-13
assert relative_error(dkey, dx.T @ s) < 1e-13

# %% [markdown]
# ## The package: `attention_forward(h, C, …, target_offsets, offsets)`
#
# It takes all histories of a batch at once, with all spaces. The targets of history $b$ are the rows `target_offsets[b]` to
# `target_offsets[b+1] - 1` of $h$; its behaviours are the rows `offsets[b]` to `offsets[b+1] - 1` of $C$.
#
# First our history alone: one space, so `W` is $[1, d, D]$. We call the layer once for each target, so that each has the
# history for itself, and add up the gradients of $C$. The sum is our $dC$. **Sharing changes no gradient. It saves work**: keys
# and values, and the self-attention before them, are computed once, however many targets ask.
# %%
summed = np.zeros_like(C)
for t in range(q):
    row = slice(t, t + 1)  # this target only
    c_own, cache = attention_forward(h[row], C, P_W, P_b, W[None], Q_W, Q_b, np.array([0, 1]), np.array([0, n]))
    assert np.allclose(c_own, c[row])
    _, dC_own, *_ = attention_backward(dc[row], cache)
    summed += dC_own
assert relative_error(summed, dC) < 1e-13

# %% [markdown]
# Now three histories in two spaces. Their arrays have a 3 at the end of the name; those of above stay as they are. The second
# history is empty. Its two targets get zeros: a sum over nothing. No gradient comes back from there. And $F_{vanilla}(0)$ is
# their $e_t$, the same for both.
# %%
K = 2
D3 = K * d
target_offsets = np.array([0, 3, 5, 6])
offsets = np.array([0, 5, 5, 7])
h3, C3 = rng.standard_normal((6, D3)), rng.standard_normal((7, D3))
dc3 = rng.standard_normal((6, D3))
P3_W, Q3_W = rng.standard_normal((2, D3, D3))
P3_b, Q3_b = rng.standard_normal((2, D3))
W3 = 0.5 * rng.standard_normal((K, d, D3))
c3, cache3 = attention_forward(h3, C3, P3_W, P3_b, W3, Q3_W, Q3_b, target_offsets, offsets)
for b in range(3):
    history = C3[offsets[b] : offsets[b + 1]]
    for t in range(target_offsets[b], target_offsets[b + 1]):
        for k in range(K):
            cols = slice(k * d, (k + 1) * d)
            slow = vanilla_slow(h3[t], history, P3_W[:, cols], P3_b[cols], W3[k], Q3_W[:, cols], Q3_b[cols])
            assert np.allclose(c3[t, cols], slow)

dh3, dC3, *_ = attention_backward(dc3, cache3)


def packed(h3, C3):
    c3, _ = attention_forward(h3, C3, P3_W, P3_b, W3, Q3_W, Q3_b, target_offsets, offsets)
    return (dc3 * c3).sum()


assert scoreboard(("h, packed", dh3, h3, lambda h3: packed(h3, C3)), ("C, packed", dC3, C3, lambda C3: packed(h3, C3)))

W1, W2 = 0.5 * rng.standard_normal((2, D3, D3))
b1, b2, gain, bias = 0.5 * rng.standard_normal((4, D3))
e3, _ = feed_forward_forward(c3, W1, b1, W2, b2, gain, bias)  # (7)
assert (c3[3:5] == 0).all() and (dh3[3:5] == 0).all() and (e3[3] == e3[4]).all()


# %% [markdown]
# ## One more use of $h$
#
# The score of a target is $f_t = h_t \cdot e_t$ (lesson 13). So in the whole model $h_t$ has two uses: it asks, and it is
# multiplied with the answer. Take $F_{vanilla}$ away for a moment, so $f_t = h_t \cdot c_t$ and $L = \sum_t f_t$. Then
# $dc = h$, and $dh$ is the sum of what the attention sends back and of the other factor, $c$.
# %%
def ranked(h3):  # h asks, and is a factor
    c3, _ = attention_forward(h3, C3, P3_W, P3_b, W3, Q3_W, Q3_b, target_offsets, offsets)
    return (h3 * c3).sum()


dc_ranked = h3
as_query, *_ = attention_backward(dc_ranked, cache3)
as_factor = c3
assert scoreboard(("h, both", as_query + as_factor, h3, ranked))

# %% [markdown]
# ## The picture
#
# Made-up vectors that one can read: the four numbers of a behaviour say shoes, book, recent, old. $P_W$ and $Q_W$ are identity
# matrices, so space 0 has the columns shoes and book of queries and values, and space 1 has recent and old. $W$ lets space 0
# compare the kind of object; space 1 looks for recent behaviours. Both targets have recent = 1 and old = 0, so in space 1 the
# score of a behaviour is 2.5 times its "recent".
#
# Left: the same history, two targets, and their weights. In space 0 the targets look at different behaviours, in space 1 at the
# same. Right: space 0, backward, for two upstream gradients $dc_t$ that are equal and of length 1. Then
# $dv_j = \sum_t a_{tj}\, dc_t$ is the sum of the weights in column $j$, times this one row. So its length is that sum: the
# shares of both targets, one on top of the other.
# %%
names = ["shoes", "book", "shoes", "cup", "book", "cup", "shoes", "book"]
told = np.array([[name == "shoes", name == "book", j / 7, 1 - j / 7] for j, name in enumerate(names)])
asks = np.array([[1.0, 0, 1, 0], [0, 1, 1, 0]])  # shoes and a book, both asked for today
compare_kinds = 2.5 * np.eye(2, 4)
compare_days = 2.5 * np.eye(2, 4, k=2)
both_spaces = np.stack([compare_kinds, compare_days])
two_targets, eight_behaviours = np.array([0, 2]), np.array([0, 8])
zero = np.zeros(4)
_, told_cache = attention_forward(asks, told, np.eye(4), zero, both_spaces, np.eye(4), zero, two_targets, eight_behaviours)
looks = attention_weights(told_cache)[0]  # [K, q, n]
with figure("12_vanilla_attention", columns=2, size=(12, 3.9)) as (fig, axes):
    table = looks.reshape(4, 8)
    axes[0].imshow(table, cmap="Blues", vmin=0, vmax=0.5, aspect="auto")
    for row, j in np.ndindex(4, 8):
        axes[0].text(j, row, f"{table[row, j]:.2f}", ha="center", va="center", fontsize=9)
    rows = [f"target {name}, space {k}" for k in (0, 1) for name in ("shoes", "book")]
    axes[0].set(title="weights: each row sums to 1", xlabel="behaviours, oldest first", xticks=range(8), yticks=range(4))
    axes[0].set(xticklabels=names, yticklabels=rows)
    axes[0].spines[:].set_visible(False)
    axes[1].bar(range(8), looks[0, 0], label="from target shoes")
    axes[1].bar(range(8), looks[0, 1], bottom=looks[0, 0], label="from target book")
    axes[1].set(
        title="space 0, backward: the shares of both targets add up", ylabel="length of dv = sum of the weights", ylim=(0, 0.45)
    )
    axes[1].set(xlabel="behaviours, oldest first", xticks=range(8), xticklabels=names)
    axes[1].legend(ncols=2, loc="upper center")

# %% [markdown]
# ## What people get wrong
# %%
overwritten = np.zeros_like(dv)  # 1. `=` in place of `+=`: only the last target's share is left
for t in range(q):
    overwritten[:] = np.outer(a[t], dc[t])
print(f"1. dv overwritten by each target: error {relative_error(overwritten, dv):.2f}")
assert relative_error(overwritten, dv) > 0.1


def softmax_down(x):  # 2. softmax over the targets: the weights of a target change with the other targets
    powers = np.exp(x)
    return powers / powers.sum(0)


alone, beside_others = softmax_down(x[:1])[0], softmax_down(x)[0]
print("2. softmax down the columns, target 0 alone:", alone.round(2), " beside two others:", beside_others.round(2))
assert relative_error(alone, beside_others) > 0.1

print(f"3. f = h · c with h as query only: error {relative_error(as_query, as_query + as_factor):.2f}")
assert relative_error(as_query, as_query + as_factor) > 0.1

mean = np.zeros_like(dv)  # 4. a mean over the targets in place of the sum
for t in range(q):
    mean += np.outer(a[t], dc[t]) / q
print(f"4. dv as a mean over the {q} targets: too small by the factor {(dv / mean).mean():.1f}")
assert np.allclose(dv / mean, q)

# %% [markdown]
# ## Your turn
#
# In the exercise each target asks with **two** query rows, and the second weights are subtracted from the first: the
# "differential attention" of some language models. Ask of every array whether it is a target's own or shared. Then a bug hunt.
# `python -m lessons.exercises check 12` (from the repository's root).
# %%
print("lesson 12 done: targets share keys and values, so their gradients are sums over the targets; empty histories give zeros")
