# %% [markdown]
# # Lesson 09. Self-attention, (2) to (5), and its whole backward pass
#
# *Before it: lesson 07 (softmax) and 08 (scores); lesson 02 for numeric derivatives. About 100 minutes, 70 of them up to the
# recipe "How to derive the next one". If you want to derive the backward pass of attention and nothing else, this lesson can be
# read alone.*
#
# A history is what a user did so far: $n$ behaviours, such as clicks. Each behaviour is a row of $D$ numbers, and the $n$ rows
# make the array $S$. Self-attention compares each behaviour with all behaviours of its history. The comparison gives each of
# them a weight, and the result is a weighted sum: a new row for each behaviour, which holds what matters to it in the others.
#
# So each behaviour has three parts, and three rows for them. As a **query** it asks. As a **key** it is compared with a query.
# As a **value** it is what the weighted sum takes. We say query $i$, key $j$ and value $j$ for the rows of behaviours $i$, $j$.
#
# At the end of this lesson you can derive the gradients on paper, for this attention and for a changed one that you have not
# seen before. We go slowly: one rule at a time, one line of code for each rule, and one numeric check for each line.
#
# ## The conventions
#
# * **$dZ$**, for any array $Z$, is the derivative of the loss $L$ by $Z$ (textbooks say: with respect to $Z$). The loss is one
#   number, so $dZ$ has the shape of $Z$: $dZ_{ij} = \partial L / \partial Z_{ij}$. It says how fast $L$ grows if this one number
#   grows. In code it is `dZ`. ($d$ before a name always means this. $d$ alone is a number: the length of a query.)
# * **The upstream gradient.** In the model, layers above turn the output $c$ into the loss, and hand down $dc$. Here nothing is
#   above, so we make a loss of our own: $L = \sum_{ij} dc_{ij}\, c_{ij}$, with numbers $dc$ that are drawn once at random. Its
#   derivative by $c$ is $dc$, as it should be. Random, because with equal numbers some wrong gradients look right (lesson 02).
# * $A B$ is the matrix product, `A @ B`; $A^\top$ is the transpose, `A.T`; $(A B)^\top = B^\top A^\top$. $A \circ B$ is the
#   product entry by entry, `A * B`.
# * $\langle a, b \rangle = \sum_j a_j b_j$ is the scalar product of two rows.
# * $[\,\cdot\,]$ around a condition is 1 where it holds and 0 where it does not: $[y > 0]$ is `(y > 0)`.
# * $\mathrm{relu}(z) = \max(z, 0)$, entry by entry.
# * F1, F2, … are the lines of the forward pass. B8 is the way back through F8; a line with two inputs gives two gradients.
# * `relative_error(A, B)` is the largest difference of two arrays, divided by the largest entry.
# * `scoreboard` takes rows of four: a name, our gradient, the array it belongs to, and the rest of the computation as a
#   function of this array, up to the number $L$. It moves each entry a little up and down, in the array itself, watches $L$,
#   puts the entry back, and prints the relative error of our gradient. Up to $10^{-7}$ is OK.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.attention import attention_backward, attention_forward, softmax_forward

# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# We take one query and two behaviours with keys and values. All rows have one number only. The query is 1, the keys are 0 and
# ln 3, and the values are $v$ = (8, 4).
#
# * The scores $x$ are query times key: (0, ln 3).
# * The weights $a$ are $e^{score}$, divided by their sum: 1 and 3, divided by 4. So $a$ = (¼, ¾).
# * The result $c$ is the weighted sum of the values: $c$ = ¼ · 8 + ¾ · 4 = 5.
#
# Now backward. Let $L = c$, so $dc = 1$. If the first value grows by 1, $c$ grows by its weight: $dv$ = (¼, ¾). If the first
# weight grows by 1 and the other stays, $c$ grows by the first value: $da_j = dc \cdot v_j = v_j$, so $da$ = (8, 4). And if the
# first *score* grows? Then weight moves from the second value to the first. The first value, 8, is 3 above the result 5; the
# second, 4, is 1 below. We shall see that $c$ grows by weight times this distance: $dx$ = (¼ · 3, ¾ · (−1)) = (¾, −¾). Let us
# try it:
# %%
values = np.array([8.0, 4.0])


def result(scores):  # [2] -> number
    u = np.exp(scores)
    weights = u / u.sum()
    return weights @ values


scores = np.array([0.0, np.log(3)])
print("result:", result(scores))
h = 1e-5
for j in range(2):
    up, down = scores.copy(), scores.copy()
    up[j] += h
    down[j] -= h
    slope = (result(up) - result(down)) / (2 * h)
    print(f"score {j} grows: the result grows by {slope:.6f} per unit")
    assert abs(slope - [0.75, -0.75][j]) < 1e-9


# %% [markdown]
# ## The equations
#
# "The paper" is Zhou et al., *ATRank: An Attention-Based User Behavior Modeling Framework for Recommendation*, AAAI 2018.
# It does this in $K$ spaces, each with its own parameters. The numbers in brackets are the paper's equation numbers:
#
# $$ (2)\ S_k = F_{P_k}(S) \qquad (4)\ \text{scores} = S_k W_k S^\top \qquad (3)\ A_k = \mathrm{softmax}(\text{scores})
#    \qquad (5)\ C_k = A_k\, F_{Q_k}(S) $$
#
# $F$ is the perceptron with a matrix and a bias: $F_{P_k}(S) = \mathrm{relu}(S\,P_W + P_b)$, where $P_k$ stands for the pair
# $P_W, P_b$ of space $k$. In the same way $Q_k$ stands for $Q_W, Q_b$. We take one space, and give each array a short name:
#
# | name | what it is | shape | in the paper |
# |---|---|---|---|
# | `S` | the behaviours | $[n, D]$ | $S$ |
# | `s` | queries, relu(S P_W + P_b) | $[n, d]$ | $S_k$ |
# | `key` | keys, S Wᵀ | $[n, d]$ | in (4), for $s W S^\top = s\,(S W^\top)^\top$ |
# | `v` | values, relu(S Q_W + Q_b) | $[n, d]$ | $F_{Q_k}(S)$ |
# | `x` | scores: row $i$ for query $i$, column $j$ for key $j$ | $[n, n]$ | (4) |
# | `a` | weights; each row sums to 1 | $[n, n]$ | $A_k$ |
# | `c` | the result | $[n, d]$ | $C_k$ |
#
# The parameters are `P_W`, `Q_W` $[D, d]$, `P_b`, `Q_b` $[d]$ and `W` $[d, D]$. In the model $d = D/K$. One space alone works
# with any $d$, so we take sizes that all differ: $n$, $D$, $d$ = 5, 7, 3. Then a wrong order of factors seldom has a right
# shape.
#
# ## The slow version
#
# It mirrors the equations, one query after the other.
# %%
def space_slow(S, P_W, P_b, W, Q_W, Q_b):  # [n,D], [D,d], [d], [d,D], [D,d], [d] -> [n,d]
    n, d = len(S), len(P_b)
    c = np.zeros((n, d))
    for i in range(n):
        s_i = np.maximum(S[i] @ P_W + P_b, 0)  # (2), query i
        u = np.zeros(n)
        for j in range(n):
            u[j] = np.exp(s_i @ W @ S[j])  # (4), e to the power of score i, j
        for j in range(n):
            weight = u[j] / u.sum()  # (3)
            v_j = np.maximum(S[j] @ Q_W + Q_b, 0)  # value j
            c[i] += weight * v_j  # (5)
    return c


rng = np.random.default_rng(9)
n, D, d = 5, 7, 3
S = rng.standard_normal((n, D))
P_W = 0.5 * rng.standard_normal((D, d))
P_b = rng.standard_normal(d)
Q_W = 0.5 * rng.standard_normal((D, d))
Q_b = rng.standard_normal(d)
W = 0.5 * rng.standard_normal((d, D))
dc = rng.standard_normal((n, d))  # the upstream gradient


# %% [markdown]
# ## Forward, one step a line
#
# We number the lines. Each does one thing only, and its result has a name. That is half of every derivation.
# %%
def softmax(x):  # [n,n] -> [n,n], row by row
    a, _ = softmax_forward(x)
    return a


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
# ## The picture: there and back
#
# This is the way that we go now. The grey arrows are the forward pass, from left to right; each box names its forward lines. The
# red arrows are the backward pass, from right to left. Beside each stands the gradient that it carries. You need not understand
# these formulas yet: each is derived in its section below. The parameters and their gradients are not drawn. They belong to the
# boxes s, key and v. (The cell only draws; skip its code.)
# %%
BOXES = {
    "S": (0, 1, 0.32, "S\n[n,D]"),
    "s": (2.6, 2, 0.92, "s = relu(S P_W + P_b)\n[n,d]    F1, F2"),
    "key": (2.6, 1, 0.5, "key = S Wᵀ\n[n,d]    F3"),
    "v": (2.6, 0, 0.95, "v = relu(S Q_W + Q_b)\n[n,d]    F4, F5"),
    "x": (5.3, 1.5, 0.45, "x = s keyᵀ\n[n,n]    F6"),
    "a": (8.1, 1.5, 0.6, "a = softmax(x)\n[n,n]    F7"),
    "c": (10.3, 1, 0.43, "c = a v\n[n,d]    F8"),
}
ARROWS = {  # what the red arrow carries; where these words stand
    "S s": ("(ds ∘ [s>0]) P_Wᵀ", "left", 1.1, 1.4),
    "S key": ("dkey W", "center", 1.2, 0.84),
    "S v": ("(dv ∘ [v>0]) Q_Wᵀ", "right", 0.78, 0.43),
    "s x": ("ds = dx key", "right", 4.05, 1.62),
    "key x": ("dkey = dxᵀ s", "left", 4.1, 1.13),
    "x a": ("dx = a ∘ (da − ⟨a, da⟩)", "center", 6.62, 1.32),
    "a c": ("da = dc vᵀ", "right", 9.2, 1.14),
    "v c": ("dv = aᵀ dc", "left", 7.0, 0.36),
}
blue = dict(boxstyle="round,pad=0.4", fc="#e8f0fa", ec="C0")
there = dict(arrowstyle="-|>", color="0.6", lw=1.5, shrinkA=0, shrinkB=0)  # forward
back = dict(arrowstyle="-|>", color="C3", lw=1.5, shrinkA=0, shrinkB=0)
GAP = 0.05  # half the distance of the two arrows between the same boxes
PORT = 0.13  # an arrow that rises leaves its box so much above the middle, and comes in so much below
with figure("09_self_attention", size=(13, 4.4)) as (fig, ax):
    for arrow, (words, side, word_x, word_y) in ARROWS.items():
        start, end = arrow.split()
        x0, y0, left, _ = BOXES[start]
        x1, y1, right, _ = BOXES[end]
        port = PORT * np.sign(y1 - y0)
        tail, head = np.array([x0 + left, y0 + port]), np.array([x1 - right, y1 - port])
        across = (tail - head)[1], (head - tail)[0]  # at a right angle to the arrow, upwards
        across = GAP * np.array(across) / np.hypot(*across)
        ax.annotate("", head + across, tail + across, arrowprops=there)
        ax.annotate("", tail - across, head - across, arrowprops=back)
        ax.text(word_x, word_y, words, color="C3", ha=side, va="center")
    for x0, y0, _, words in BOXES.values():
        ax.text(x0, y0, words, ha="center", va="center", bbox=blue)
    ax.annotate("", (10.75, 1), (11.3, 1), arrowprops=back)
    ax.text(11.35, 1, "dc", color="C3", va="center")
    ax.set(xlim=(-0.6, 11.7), ylim=(-0.35, 2.5), title="dc comes in at the right; the three red arrows into S add up to dS")
    ax.axis("off")


# %% [markdown]
# ## The chain rule is the only rule
#
# Suppose that $L$ depends on a number $z$ only through the numbers $y_1, y_2, \dots$ Then
#
# $$ dz = \sum_i dy_i\, \frac{\partial y_i}{\partial z} $$
#
# If $z$ grows a little, each $y_i$ grows by its slope times that, each moves $L$ by $dy_i$ times its growth, and the changes
# add up. We go through the lines from F8 to F1. At each line we know the gradient of its result, and ask for that of its
# inputs.
#
# ## B8. A product: $c = a\,v$
#
# In index notation $c_{ip} = \sum_j a_{ij}\, v_{jp}$. Which entries of $c$ hold the number $a_{ij}$? Those of row $i$, and
# $\partial c_{ip} / \partial a_{ij} = v_{jp}$. So the chain rule sums over $p$:
#
# $$ da_{ij} = \sum_p dc_{ip}\, v_{jp} \qquad\text{as a matrix product}\qquad da = dc\; v^\top $$
#
# Which entries hold $v_{jp}$? Those of column $p$, one for each query $i$, and $\partial c_{ip} / \partial v_{jp} = a_{ij}$:
#
# $$ dv_{jp} = \sum_i a_{ij}\, dc_{ip} \qquad\text{that is}\qquad dv = a^\top dc $$
#
# This is lesson 08's rule (leave out the array, sum over every letter that it does not have), once in index notation and once
# as a matrix product.
#
# **Rule 1, for every product $Y = A B$: $dA = dY\, B^\top$ and $dB = A^\top dY$.** You need not remember the order: $dA$ must
# have the shape of $A$, and only one order gives it. (If all sizes are equal, every order has the right shape. Then only the
# index notation tells.)
# %%
def from_c(c):
    return (dc * c).sum()


def from_a(a):  # the rest of the computation, from the weights on
    return from_c(a @ v)


def from_v(v):
    return from_c(a @ v)


da = dc @ v.T  # B8, by a
dv = a.T @ dc  # B8, by v
assert scoreboard(("a", da, a, from_a), ("v", dv, v, from_v))


# %% [markdown]
# ## B7. Softmax: $a = \mathrm{softmax}(x)$
#
# (It is the second way of lesson 07. If you know it, go on to rule 2.) Each row is for itself, so we leave the row's index
# away: $a_i = e^{x_i} / total$ with $total = \sum_l e^{x_l}$. From here $i$, $j$ and $l$ all count keys; the query is fixed.
# What is $\partial a_i / \partial x_j$? In the sum only one term holds $x_j$, so $\partial\, total/\partial x_j = e^{x_j}$. The
# numerator $e^{x_i}$ holds $x_j$ only if $i = j$, so its derivative is $[i = j]\, e^{x_i}$. The quotient rule
# $(f/g)' = (f' g - f g')/g^2$ gives
#
# $$ \frac{\partial a_i}{\partial x_j} = \frac{[i = j]\, e^{x_i}\, total - e^{x_i}\, e^{x_j}}{total^2}
#    = [i = j]\, a_i - a_i\, a_j $$
#
# All weights of the row depend on $x_j$, so the chain rule sums over $i$. Of the terms with $[i = j]$ only the one with $i = j$
# is left:
#
# $$ dx_j = \sum_i da_i\, \big([i = j]\, a_i - a_i a_j\big) = a_j\, da_j - a_j \sum_i a_i\, da_i
#    = a_j\,(da_j - \langle a, da\rangle) $$
#
# **Rule 2: $dx_j = a_j\,(da_j - \langle a, da\rangle)$ in each row.** This is the distance from the mean that we met above:
# there $da$ was (8, 4), $a$ was (¼, ¾), and so $\langle a, da \rangle$ = 5.
# %%
def from_x(x):
    return from_a(softmax(x))


mean = (a * da).sum(1, keepdims=True)  # ⟨a, da⟩ of each row, [n,1]
dx = a * (da - mean)  # B7
assert scoreboard(("x", dx, x, from_x))


# %% [markdown]
# ## B6. A product with a transpose: $x = s\; key^\top$
#
# $x_{ij} = \sum_p s_{ip}\, key_{jp}$. The number $s_{ip}$ stands in row $i$ of $x$. The number $key_{jp}$ stands in column $j$,
# because every query $i$ is multiplied with key $j$:
#
# $$ ds_{ip} = \sum_j dx_{ij}\, key_{jp} \quad\text{that is}\quad ds = dx\; key \qquad\qquad
#    dkey_{jp} = \sum_i dx_{ij}\, s_{ip} \quad\text{that is}\quad dkey = dx^\top s $$
#
# It is rule 1 with $B = key^\top$: $ds = dx\,B^\top = dx\;key$, and $dB = s^\top dx$. A transpose only moves the numbers to other
# places, and their gradients move with them: the gradient of a transpose is the transpose of the gradient. So
# $dkey = (dB)^\top = dx^\top s$.
# %%
def from_s(s):
    return from_x(s @ key.T)


def from_key(key):
    return from_x(s @ key.T)


ds = dx @ key  # B6, by s
dkey = dx.T @ s  # B6, by key
assert scoreboard(("s", ds, s, from_s), ("key", dkey, key, from_key))


# %% [markdown]
# ## B5 and B2. Relu: $v = \max(zv, 0)$, $s = \max(zs, 0)$
#
# Each number depends on one number only. The slope is 1 where $z > 0$ and 0 where $z < 0$. (At $z = 0$ there is no slope; we
# take 0.)
#
# **Rule 3: $dz = dy \circ [z > 0]$.** One may as well write $[y > 0]$, for $y = \max(z, 0)$ is positive exactly where $z$ is.
# %%
def from_zv(zv):
    return from_v(np.maximum(zv, 0))


def from_zs(zs):
    return from_s(np.maximum(zs, 0))


dzv = dv * (v > 0)  # B5
dzs = ds * (s > 0)  # B2
assert scoreboard(("zv", dzv, zv, from_zv), ("zs", dzs, zs, from_zs))


# %% [markdown]
# ## B4 and B1. A product and a bias: $zv = S\, Q_W + Q_b$, $zs = S\, P_W + P_b$
#
# Each of the two lines is a sum. The first summand is a product, the second is the bias.
#
# **Rule 4: what is used several times gets the sum of its gradients.**
#
# **Rule 5: a sum $Y = A + B$ hands its gradient to both, unchanged: $dA = dY$, $dB = dY$.**
#
# By rule 5 the product $S\, Q_W$ gets $dzv$ as it is, and rule 1 gives $dQ_W = S^\top dzv$. The bias is one row, added to every
# row of the product. So each row $i$ gives it $dzv_{i}$, unchanged, and rule 4 sums over the rows: entry $p$ of $dQ_b$ is
# $\sum_i dzv_{ip}$. With $P$ it goes the same way. ($S$ has its turn below.)
# %%
def loss_of(S, P_W, P_b, W, Q_W, Q_b):  # the whole computation
    return from_c(space_slow(S, P_W, P_b, W, Q_W, Q_b))


dQ_W = S.T @ dzv  # B4, by Q_W
dQ_b = dzv.sum(0)  # B4, by Q_b
assert scoreboard(("Q_W", dQ_W, Q_W, lambda Q_W: loss_of(S, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("Q_b", dQ_b, Q_b, lambda Q_b: loss_of(S, P_W, P_b, W, Q_W, Q_b)))
dP_W = S.T @ dzs  # B1, by P_W
dP_b = dzs.sum(0)  # B1, by P_b
assert scoreboard(("P_W", dP_W, P_W, lambda P_W: loss_of(S, P_W, P_b, W, Q_W, Q_b)))
assert scoreboard(("P_b", dP_b, P_b, lambda P_b: loss_of(S, P_W, P_b, W, Q_W, Q_b)))

# %% [markdown]
# ## B3. The matrix of the keys: $key = S\, W^\top$
#
# A product with a transpose, as in B6: $key_{jp} = \sum_q S_{jq}\, W_{pq}$. The number $W_{pq}$ stands in column $p$ of $key$,
# once for each key $j$, so
#
# $$ dW_{pq} = \sum_j dkey_{jp}\, S_{jq} \qquad\text{that is}\qquad dW = dkey^\top S $$
#
# It has $W$'s shape $[d, D]$. (The other order, $S^\top dkey$, is the gradient of $W^\top$.)
# %%
dW = dkey.T @ S  # B3, by W
assert scoreboard(("W", dW, W, lambda W: loss_of(S, P_W, P_b, W, Q_W, Q_b)))


# %% [markdown]
# ## The three uses of $S$
#
# Look at the forward lines: `S` stands in F1, in F3 and in F4. So it has three gradients, and by rule 4 they add up: $S$ as
# query, $S$ as key, $S$ as value. They are the picture's three red arrows into S (there $dzs$ and $dzv$ are written out).
#
# $$ dS = dzs\, P_W^\top + dkey\, W + dzv\, Q_W^\top $$
#
# To check one summand alone, only its use of $S$ may move. In the first function below $S$ makes new queries, while `key` and
# `v` stay the arrays of the forward pass. The other two functions do the same for keys and for values. At last all three move.
# %%
def from_S_as_query(S):
    return from_zs(S @ P_W + P_b)


def from_S_as_key(S):
    return from_key(S @ W.T)


def from_S_as_value(S):
    return from_zv(S @ Q_W + Q_b)


dS_query = dzs @ P_W.T  # B1
dS_key = dkey @ W  # B3
dS_value = dzv @ Q_W.T  # B4
dS = dS_query + dS_key + dS_value
assert scoreboard(("S as query", dS_query, S, from_S_as_query))
assert scoreboard(("S as key", dS_key, S, from_S_as_key))
assert scoreboard(("S as value", dS_value, S, from_S_as_value))
assert scoreboard(("S", dS, S, lambda S: loss_of(S, P_W, P_b, W, Q_W, Q_b)))


# %% [markdown]
# ## A residual connection and a mask
#
# Nearly every attention that you will meet has these two.
#
# **A residual connection** adds the input to the result: $y = S + c$ (F9). The layer then has to learn only what changes. The
# shapes must agree: $S$ is $[n, D]$, so $c$ must have rows of $D$ numbers. There are three ways. The matrix of the values may
# be $[D, D]$, then $v$ and $c$ are $[n, D]$; we take this one, and call it $V_W$ (its bias $V_b$) in place of $Q_W$. Or the
# results of all $K$ spaces stand side by side, $K d = D$ numbers; the package does this. Or one more matrix $O$ $[d, D]$ makes
# the rows longer: name $h = c\,O$, then $y = S + h$; rule 5 gives $dh = dy$, and rule 1 gives $dc = dh\,O^\top$,
# $dO = c^\top dh$.
#
# Now $dy$ is the upstream gradient. Rule 5 says: $dc = dy$, and $S$ gets $dy$ too. $S$ has four uses, and by rule 4
#
# $$ dS = dy + dzs\, P_W^\top + dkey\, W + dzv\, V_W^\top $$
#
# **A mask** says which keys a query may use: $M_{ij}$ is 1 if query $i$ may use key $j$, else 0. It multiplies each $e^{x}$.
# (Others set the masked score to −∞; it is the same, for $e^{-\infty} = 0$.) In one row, its index left away again (as in B7,
# $i$, $j$ and $l$ all count keys from here; the query is fixed):
#
# $$ a_i = \frac{M_i\, e^{x_i}}{total}, \qquad total = \sum_l M_l\, e^{x_l} $$
#
# Take the example from the beginning, with a third behaviour that is masked: its score is ln 2, its value 100. The numbers
# $e^x$ are 1, 3, 2; the mask (1, 1, 0) makes 1, 3, 0 of them; so the weights are ¼, ¾, 0 and the result is 5, as before.
#
# And backward? $M$ is constant. The sum has the derivative $M_j e^{x_j}$ by $x_j$, the numerator $[i = j]\, M_i e^{x_i}$:
#
# $$ \frac{\partial a_i}{\partial x_j} = \frac{[i = j]\, M_i e^{x_i}\, total - M_i e^{x_i}\, M_j e^{x_j}}{total^2}
#    = [i = j]\, a_i - a_i\, a_j $$
#
# The same formula as without a mask. **So rule 2 stays as it is, and no line of the backward pass needs $M$.** Where $M_j = 0$,
# $a_j = 0$, and rule 2 gives $dx_j = 0$ by itself, as it should be: this score changes nothing. In the example $da$ = (8, 4, 100)
# and $\langle a, da \rangle = 5$, so $dx$ = (¾, −¾, 0).
#
# **A row with nothing allowed** would be 0/0. We *define* its weights as 0. They are 0 whatever the scores are, so $dx = 0$ in
# this row, and rule 2 gives that as well. Such rows are common: if only earlier behaviours may be used, $M_{ij} = [j < i]$, the
# first behaviour has none.
# %%
def masked_softmax(x, M):  # [n,n], [n,n] of 0 and 1 -> [n,n]
    # (With large scores: x = np.where(M > 0, x, -np.inf), subtract the row's maximum, or 0 if nothing is allowed, and take
    # np.exp. To multiply by M afterwards is not enough: 0 · ∞ is nan.)
    u = M * np.exp(x)
    total = u.sum(1, keepdims=True)
    total[total == 0] = 1  # nothing allowed: 0/1 in place of 0/0
    return u / total


example_a = masked_softmax(np.log([[1.0, 3, 2]]), np.array([[1, 1, 0]]))
example_da = np.array([[8.0, 4, 100]])
example_dx = example_a * (example_da - (example_a * example_da).sum(1, keepdims=True))
print("weights", example_a[0], "  dx", example_dx[0])
assert np.allclose(example_a, [[0.25, 0.75, 0]])
assert np.allclose(example_dx, [[0.75, -0.75, 0]])


# %% [markdown]
# Now both changes in the whole layer. Besides the shape of the values, two forward lines differ from before: the softmax has a
# mask, and F9 is new. Two backward lines differ: B9 is new, and `dS` has one more summand.
# %%
def residual_forward(S, M, P_W, P_b, W, V_W, V_b):  # V_W [D,D], V_b [D]
    s = np.maximum(S @ P_W + P_b, 0)  # F1, F2
    key = S @ W.T  # F3
    v = np.maximum(S @ V_W + V_b, 0)  # F4, F5 [n,D]
    x = s @ key.T  # F6
    a = masked_softmax(x, M)  # F7, with the mask
    c = a @ v  # F8 [n,D]
    y = S + c  # F9
    return y, (S, P_W, W, V_W, s, key, v, a)


def residual_backward(dy, cache):  # -> by S, P_W, P_b, W, V_W, V_b
    S, P_W, W, V_W, s, key, v, a = cache
    dc = dy  # B9, by c
    da = dc @ v.T  # B8
    dv = a.T @ dc
    dx = a * (da - (a * da).sum(1, keepdims=True))  # B7, without the mask
    ds = dx @ key  # B6
    dkey = dx.T @ s
    dzv = dv * (v > 0)  # B5
    dzs = ds * (s > 0)  # B2
    dS = dy + dzs @ P_W.T + dkey @ W + dzv @ V_W.T  # B9, B1, B3, B4: four uses
    return dS, S.T @ dzs, dzs.sum(0), dkey.T @ S, S.T @ dzv, dzv.sum(0)


M = np.tri(n, k=-1)  # [j < i]: ones below the diagonal. Query i may use the keys before it, the first query none
print("M =", M.astype(int), sep="\n")
V_W = 0.5 * rng.standard_normal((D, D))
V_b = rng.standard_normal(D)
dy = rng.standard_normal((n, D))
y, residual_cache = residual_forward(S, M, P_W, P_b, W, V_W, V_b)
assert np.array_equal(y[0], S[0])  # nothing allowed: only the residual connection is left
gradients = residual_backward(dy, residual_cache)


def residual_loss(S, P_W, P_b, W, V_W, V_b):
    y, _ = residual_forward(S, M, P_W, P_b, W, V_W, V_b)
    return (dy * y).sum()


assert scoreboard(("S", gradients[0], S, lambda S: residual_loss(S, P_W, P_b, W, V_W, V_b)))
assert scoreboard(("P_W", gradients[1], P_W, lambda P_W: residual_loss(S, P_W, P_b, W, V_W, V_b)))
assert scoreboard(("P_b", gradients[2], P_b, lambda P_b: residual_loss(S, P_W, P_b, W, V_W, V_b)))
assert scoreboard(("W", gradients[3], W, lambda W: residual_loss(S, P_W, P_b, W, V_W, V_b)))
assert scoreboard(("V_W", gradients[4], V_W, lambda V_W: residual_loss(S, P_W, P_b, W, V_W, V_b)))
assert scoreboard(("V_b", gradients[5], V_b, lambda V_b: residual_loss(S, P_W, P_b, W, V_W, V_b)))
print("and with the residual connection forgotten on the way back:")
assert not scoreboard(("S, wrong", gradients[0] - dy, S, lambda S: residual_loss(S, P_W, P_b, W, V_W, V_b)))


# %% [markdown]
# ## How to derive the next one
#
# These five rules are enough for any network of matrix products, sums, relus and softmaxes. Two more that you may meet:
# $Y = A \circ B$ gives $dA = dY \circ B$, $dB = dY \circ A$. A learned number $\tau$ in $Y = \tau Z$ stands in every entry:
# $dZ = \tau\,dY$, $d\tau = \sum_{ij} dY_{ij} Z_{ij}$. For a network that is not this one:
#
# 1. Write the forward pass so that each line does one thing and names its result.
# 2. For every name, mark the lines that **use** it. Each use gives one summand of its gradient.
# 3. Go through the lines from the last to the first. Write the line in index notation, ask in which entries of the result an
#    input stands, and with which slope. Sum over those entries.
# 4. A constant $k$ needs no gradient. $y = z + k$ gives $dz = dy$, and $y = k\,z$ gives $dz = k\,dy$. An entry that is always 0,
#    whatever the inputs are, passes nothing back.
# 5. Check each line before you go on: by its shape, for $dZ$ has the shape of $Z$, and by numbers.
#
# Two small examples. First, let a fixed number $b_{ij}$ be added to each score, so F6 is $x = s\,key^\top + b$. Rule 5: the
# product gets $dx$ unchanged, and $b$ is a constant. No backward line changes. Second, let the scores be divided by $\sqrt d$, so
# F6 is $x = s\,key^\top / \sqrt d$. The constant factor $1/\sqrt d$ stays beside $dx$: $ds = dx\; key / \sqrt d$ and
# $dkey = dx^\top s / \sqrt d$.
#
# ## Less memory: no weights kept
#
# *(You may skip this section and the next on a first reading. The bug hunt at the end needs this one.)*
#
# $a$ and $x$ have $n^2$ numbers each. For $n = 1000$ in 8 spaces each of them has 8 million, where $S$, with the paper's
# $D = 128$, has 128,000. We do not need to keep them. ($i$ is the query again; $a_i$ is its whole row of weights, and $dc_i$,
# $c_i$, $v_j$ are rows as well.)
#
# $$ \langle a_i, da_i\rangle = \sum_j a_{ij} \langle dc_i, v_j\rangle = \Big\langle dc_i, \sum_j a_{ij} v_j \Big\rangle
#    = \langle dc_i, c_i\rangle $$
#
# So the mean of rule 2 needs no weights. A row of weights can be made again from `s` and `key` when it is needed. The price is
# one more product and one more exponential for each pair. (The package's fast training code does so for histories above 128
# behaviours.)
# %%
def attend_backward_lean(dc, c, s, key, v):  # [n,d] five times -> [n,d] three times
    ds, dkey, dv = np.zeros_like(s), np.zeros_like(key), np.zeros_like(v)
    for i in range(len(s)):
        a_i = softmax(s[i : i + 1] @ key.T)[0]  # one row of weights at a time
        da_i = v @ dc[i]
        dx_i = a_i * (da_i - dc[i] @ c[i])
        ds[i] = dx_i @ key
        dkey += np.outer(dx_i, s[i])
        dv += np.outer(a_i, dc[i])
    return ds, dkey, dv


ds_lean, dkey_lean, dv_lean = attend_backward_lean(dc, c, s, key, v)
assert relative_error(ds_lean, ds) < 1e-13
assert relative_error(dkey_lean, dkey) < 1e-13
assert relative_error(dv_lean, dv) < 1e-13


# %% [markdown]
# ## The package: all spaces, all histories
#
# The spaces do not meet: space $k$ has the columns $kd$ to $(k+1)d - 1$ of queries, keys, values and of the result. The
# gradient of $S$ adds up over the spaces, by rule 4. The histories do not meet either: history $b$ has the rows `offsets[b]` to
# `offsets[b+1] - 1`, and the gradients of the parameters add up over the histories. The second of our four histories is empty
# (`offsets` = 0, 4, 4, 5, 11 below: it begins and ends at 4).
#
# The package's function can also be given other rows for the queries than for keys and values (lesson 12). So it takes $S$
# twice, and calls it `x` where it makes queries and `m` (memory) where it makes keys and values. It returns $dS$ in two parts:
# its `dx` is $S$ as query, and its `dm` is $S$ as key and as value. (This `dx` has nothing to do with our scores $x$.)
# %%
def one_space_backward(dc, S, P_W, P_b, W, Q_W, Q_b):  # our lines from above, put together
    s = np.maximum(S @ P_W + P_b, 0)
    key = S @ W.T
    v = np.maximum(S @ Q_W + Q_b, 0)
    c = softmax(s @ key.T) @ v
    ds, dkey, dv = attend_backward_lean(dc, c, s, key, v)
    dzs = ds * (s > 0)
    dzv = dv * (v > 0)
    as_query = dzs @ P_W.T
    as_memory = dkey @ W + dzv @ Q_W.T
    return as_query, as_memory, S.T @ dzs, dzs.sum(0), dkey.T @ S, S.T @ dzv, dzv.sum(0)


K = 3
D4 = K * d
offsets = np.array([0, 4, 4, 5, 11])
S4 = rng.standard_normal((11, D4))
dC4 = rng.standard_normal((11, D4))
P4_W, Q4_W = 0.5 * rng.standard_normal((2, D4, D4))
P4_b, Q4_b = rng.standard_normal((2, D4))
W4 = 0.3 * rng.standard_normal((K, d, D4))
C4, cache = attention_forward(S4, S4, P4_W, P4_b, W4, Q4_W, Q4_b, offsets, offsets)
package = attention_backward(dC4, cache)

ours = [np.zeros_like(gradient) for gradient in package]
for b in range(len(offsets) - 1):
    rows = slice(offsets[b], offsets[b + 1])
    if offsets[b] == offsets[b + 1]:
        continue  # an empty history has no rows, and no gradient
    for k in range(K):
        cols = slice(k * d, (k + 1) * d)
        own = S4[rows], P4_W[:, cols], P4_b[cols], W4[k], Q4_W[:, cols], Q4_b[cols]
        assert relative_error(C4[rows, cols], space_slow(*own)) < 1e-13
        as_query, as_memory, P_W_part, P_b_part, W_part, Q_W_part, Q_b_part = one_space_backward(dC4[rows, cols], *own)
        ours[0][rows] += as_query
        ours[1][rows] += as_memory
        ours[2][:, cols] += P_W_part
        ours[3][cols] += P_b_part
        ours[4][k] += W_part
        ours[5][:, cols] += Q_W_part
        ours[6][cols] += Q_b_part

for mine, theirs in zip(ours, package, strict=True):
    assert relative_error(mine, theirs) < 1e-12
print("attention_backward of the package: all seven gradients agree with ours")

# %% [markdown]
# ## What people get wrong
#
# Each wrong version below has the right shape and raises no error. Only the numeric check sees it.
# %%
wrong = dx @ s  # 1. no transpose: n × n fits either way
print(f"1. dkey = dx s in place of dxᵀ s: error {relative_error(wrong, dkey):.2f}")
assert relative_error(wrong, dkey) > 0.1

down = (a * da).sum(0)  # 2. the sum runs over the queries (down), not over the keys (along the row)
wrong = a * (da - down)
print(f"2. the mean of rule 2 taken down the columns: error {relative_error(wrong, dx):.2f}")
assert relative_error(wrong, dx) > 0.1

print(f"3. S as query only, its uses as key and value forgotten: error {relative_error(dS_query, dS):.2f}")
assert relative_error(dS_query, dS) > 0.1

one_history = np.array([0, 11])  # 4. offsets ignored: behaviours of other users are looked at
mixed, _ = attention_forward(S4, S4, P4_W, P4_b, W4, Q4_W, Q4_b, one_history, one_history)
print(f"4. all histories taken as one: error of the result {relative_error(mixed, C4):.2f}")
assert relative_error(mixed, C4) > 0.1

# %% [markdown]
# ## Your turn
#
# Take paper first. The attention of the exercise is not the one above: its keys have a relu, its result goes through one more
# matrix, the behaviours are added to it, and a table says who may look at whom. Write its lines, mark the uses, go back line by
# line. Then type it in: `python -m lessons.exercises check 09` (from the repository's root). A bug hunt follows.
# %%
print("lesson 09 done: products, a softmax, relus and sums, one rule each; S is used three times, so dS is a sum of three")
