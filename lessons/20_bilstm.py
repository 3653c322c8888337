# %% [markdown]
# # Lesson 20. Bi-LSTM: back-propagation through time
#
# *Before it: lessons 02 (numeric derivatives) and 05 (products). It stands alone otherwise. About 60 minutes.*
#
# A recurrent net reads a history from its first behaviour to its last. After each one it has a **state**: all that it
# remembers. The simplest has a state of one number, and one parameter $w$ that says how much is kept:
#
# $$ h_t = w\, h_{t-1} + x_t \qquad h_0 = 0 $$
#
# Let $w = ½$ and the history be $x = (8, 0, 4)$. Then $h = (8, 4, 6)$. The loss is the last state, $L = h_3$.
#
# Now backwards. $h_3$ moves $L$ one to one. $h_2$ goes into $h_3$ with the factor $w$, and $h_1$ into $h_2$ with $w$ again:
#
# $$ dh_3 = 1 \qquad dh_2 = w\,dh_3 = ½ \qquad dh_1 = w\, dh_2 = ¼ $$
#
# And the parameter? It is used in **every** step, so its gradient is a sum. In step $t$ it stands before $h_{t-1}$. From the
# last step to the first:
#
# $$ dw = dh_3\, h_2 + dh_2\, h_1 + dh_1\, h_0 = 1 · 4 + ½ · 8 + ¼ · 0 = 8 $$
#
# The test: $h_3 = w^2 x_1 + w x_2 + x_3$, and its derivative by $w$ is $2 w x_1 + x_2 = 8$. This is all of back-propagation
# through time. **Walk from the last step to the first. Hand the state's gradient on to the step before. Add up for what is
# used in every step.** The rest of the lesson does it for a better state.
#
# ## The conventions
#
# * $dZ$ (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$, and
#   $dZ_{ij} = \partial L/\partial Z_{ij}$.
# * In the model, layers above hand down the gradient of our output $y$: the **upstream gradient**. Here nothing is above. So
#   we make a loss of our own, $L = \sum dy \circ y$ with random numbers $dy$, drawn once. Its derivative by $y$ is $dy$.
#   Random, for with equal numbers some wrong gradients would look right.
# * $Y \circ Z$ is the product entry by entry, `Y * Z` in NumPy. $Z^\top$ is the transpose, `Z.T`.
# * $\sigma(x) = 1/(1 + e^{-x})$ lies between 0 and 1. Its slope is $e^{-x}/(1 + e^{-x})^2$. As $1 - \sigma$ is
#   $e^{-x}/(1 + e^{-x})$, the slope is $\sigma' = \sigma\,(1 - \sigma)$.
# * $\tanh x = (e^{2x} - 1)/(e^{2x} + 1) = 2\,\sigma(2x) - 1$ lies between −1 and 1. So its slope is
#   $4\,\sigma(2x)\,(1 - \sigma(2x)) = (1 + \tanh x)(1 - \tanh x) = 1 - \tanh^2 x$.
# * F1, F2, … are the lines of the forward pass. B5 is the way back through F5, and so on.
# * `relative_error(Y, Z)` is the largest difference of two arrays, divided by their largest entry.
# * `scoreboard` takes rows of four: a name, our gradient, its array, and the rest of the computation as a function of this
#   array, up to $L$. It moves each entry a little up and down, in the array itself, watches $L$, puts the entry back, and
#   prints the relative error of our gradient. Up to $10^{-7}$ is OK.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.lstm import cell_backward, cell_forward, ends_forward, lstm_backward, lstm_forward, steps
from atrank_np.layers.ranking import sigmoid

# %% [markdown]
# ## The LSTM
#
# With $w = ½$ a thousandth is left of $x_1$ after ten steps. With $w = 2$ the state grows a thousandfold. A fixed
# number either forgets or explodes. In the LSTM (Hochreiter and Schmidhuber, 1997) the net decides what is kept, in each step
# and for each number.
#
# It has two states, $H$ numbers each. The **cell** $c_t$ is the memory. $h_t$ is the part of it that is shown: the next step
# and the layers above read it. Both are 0 before the first step.
#
# Each step has its input $x_t$ of $D$ numbers. It begins as a perceptron does, but with two products, one for the input row and
# one for the shown state. $W$ is $[D, 4H]$, $U$ is $[H, 4H]$, $b$ is $[4H]$:
#
# $$ z_t = x_t W + h_{t-1} U + b $$
#
# $z_t$ has $4H$ numbers. It is cut into four quarters, called $z^i, z^f, z^g, z^o$ (the letter above is a name, not a power).
# All belong to step $t$; we leave the $t$ away. Three become **gates**, numbers between 0 and 1 that say how much:
#
# $$ i = \sigma(z^i) \ \text{: how much comes in} \qquad f = \sigma(z^f) \ \text{: how much of the old cell is kept} \qquad
#    o = \sigma(z^o) \ \text{: how much is shown} $$
#
# $f$ is called the forget gate. The fourth, $g = \tanh(z^g)$, is what would come in. In $z$ their order is $i, f, g, o$. Then
#
# $$ c_t = f \circ c_{t-1} + i \circ g \qquad\qquad h_t = o \circ \tanh(c_t) $$
#
# The ATRank paper compares its model with a Bi-LSTM: two LSTMs with parameters of their own. One reads forwards, the other
# backwards. Their two final $h$, side by side, stand for the user (the *user vector*).
#
# The slow version, number by number:
# %%


def lstm_slow(x, W, U, b):  # [n,D], [D,4H], [H,4H], [4H] -> [n,H]
    H = len(U)
    h, c = np.zeros(H), np.zeros(H)
    shown = []
    for x_t in x:
        new_h, new_c = np.zeros(H), np.zeros(H)
        for k in range(H):
            z = []
            for gate in range(4):
                r = gate * H + k  # the column of this gate and this state
                z.append(x_t @ W[:, r] + h @ U[:, r] + b[r])
            i, f, o = sigmoid(z[0]), sigmoid(z[1]), sigmoid(z[3])
            g = np.tanh(z[2])
            new_c[k] = f * c[k] + i * g
            new_h[k] = o * np.tanh(new_c[k])
        h, c = new_h, new_c
        shown.append(h)
    return np.array(shown).reshape(-1, H)  # [0,H] for an empty history


rng = np.random.default_rng(20)
n, D, H = 5, 3, 2
x = 0.8 * rng.standard_normal((n, D))
W = 0.8 * rng.standard_normal((D, 4 * H))
U = 0.8 * rng.standard_normal((H, 4 * H))
b = 0.8 * rng.standard_normal(4 * H)

# %% [markdown]
# ## One step, forward, each line with a number
#
# We take $A = 3$ histories at once, a row each. Rows do not meet. `old_h` and `old_c` come from the step before, `c` and `h`
# are new.
# %%
A = 3
x_step, old_h, old_c = rng.standard_normal((A, D)), rng.standard_normal((A, H)), rng.standard_normal((A, H))
z = x_step @ W + old_h @ U + b  # F1 [A,4H]
zi, zf, zg, zo = np.split(z, 4, axis=1)
i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)  # F2 [A,H] each
c = f * old_c + i * g  # F3 [A,H]
s = np.tanh(c)  # F4 [A,H]
h = o * s  # F5 [A,H]

# %% [markdown]
# ## One step, backward, one rule at a time
#
# Both new states are used again after this step. `dh` is the whole gradient of $h$. The cell has two uses: it is shown in this
# step, and the next step keeps it. The gradient of this second use is handed back by the next step. We call it `c_back`. In
# this section both are random numbers, so $L = \sum dh \circ h + \sum c\_back \circ c$.
# %%
dh, c_back = rng.standard_normal((2, A, H))

# %% [markdown]
# **B5**, of $h = o \circ s$. A product: each factor gets the upstream gradient times the other factor.
#
# $$ do = dh \circ s \qquad ds = dh \circ o $$
# %%
do = dh * s
ds = dh * o


def loss_from_s(s):
    return (dh * o * s).sum()


def loss_from_o(o):
    return (dh * o * s).sum()


assert scoreboard(("s", ds, s, loss_from_s), ("o", do, o, loss_from_o))

# %% [markdown]
# **B4**, of $s = \tanh(c)$. This is the cell's first use; the second is `c_back`. What is used twice gets the sum:
#
# $$ dc = c\_back + ds \circ (1 - s^2) $$
# %%
dc = c_back + ds * (1 - s**2)


def loss_from_c(c):
    return (dh * o * np.tanh(c)).sum() + (c_back * c).sum()


assert scoreboard(("c", dc, c, loss_from_c))

# %% [markdown]
# **B3**, of $c = f \circ c^{old} + i \circ g$. Two products, so four gradients, each with the other factor:
#
# $$ df = dc \circ c^{old} \qquad dc^{old} = dc \circ f \qquad di = dc \circ g \qquad dg = dc \circ i $$
#
# Look at $dc^{old}$: it is the new cell's gradient times the forget gate. No matrix, no slope of a tanh.
# %%
df = dc * old_c
dold_c = dc * f
di = dc * g
dg = dc * i


def loss_from_parts(f, old_c, i, g):
    return loss_from_c(f * old_c + i * g)


assert scoreboard(
    ("f", df, f, lambda f: loss_from_parts(f, old_c, i, g)),
    ("old cell", dold_c, old_c, lambda old_c: loss_from_parts(f, old_c, i, g)),
    ("i", di, i, lambda i: loss_from_parts(f, old_c, i, g)),
    ("g", dg, g, lambda g: loss_from_parts(f, old_c, i, g)),
)

# %% [markdown]
# **B2**, of $i = \sigma(z^i)$ and so on. Times the slope, which can be written with the value itself:
#
# $$ dz^i = di \circ i \circ (1 - i) \qquad dz^f = df \circ f \circ (1 - f) \qquad dz^g = dg \circ (1 - g^2) \qquad
#    dz^o = do \circ o \circ (1 - o) $$
# %%
dzi = di * i * (1 - i)
dzf = df * f * (1 - f)
dzg = dg * (1 - g**2)
dzo = do * o * (1 - o)
dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)


def loss_from_z(z):
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    c = sigmoid(zf) * old_c + sigmoid(zi) * np.tanh(zg)
    h = sigmoid(zo) * np.tanh(c)
    return (dh * h).sum() + (c_back * c).sum()


assert scoreboard(("z", dz, z, loss_from_z))

# %% [markdown]
# The package's `cell_forward` (F2 to F5) and `cell_backward` (B5 to B2) give the same. (In its files each function numbers
# its lines from F1.) B1 is missing on purpose: it needs the other steps, and comes in "Through time".
# %%
package_h, package_c, cache = cell_forward(z, old_c)
package_dz, package_dold_c = cell_backward(dh, c_back, cache)
assert relative_error(package_h, h) < 1e-14 and relative_error(package_c, c) < 1e-14
assert relative_error(package_dz, dz) < 1e-14 and relative_error(package_dold_c, dold_c) < 1e-14

# %% [markdown]
# ## With a pencil
#
# $\sigma(0) = ½$, and $\tanh(½ \ln 3) = (3-1)/(3+1) = ½$. Let $z^i = z^f = z^o = 0$ and $z^g = ½ \ln 3$, so all of $i, f, g, o$
# are ½. Let the old cell be ln 3 − ½. Then $c$ = ½ ln 3 − ¼ + ¼ = ½ ln 3, $s$ = ½, $h$ = ¼.
#
# Backwards, let `dh` = 8 and `c_back` = 1.
#
# * B5: `do` = 8 · ½ = 4, `ds` = 8 · ½ = 4.
# * B4: `dc` = 1 + 4 · (1 − ¼) = 4.
# * B3: `df` = 4 ln 3 − 2, `dold_c` = 2, `di` = 2, `dg` = 2.
# * B2: the slope of σ is ¼, that of tanh is ¾: `dz` = (½, ln 3 − ½, 1½, 1).
# %%
pencil_h, _, cache = cell_forward(np.array([[0, 0, 0.5 * np.log(3), 0]]), np.array([[np.log(3) - 0.5]]))
pencil_dz, pencil_dold_c = cell_backward(np.array([[8.0]]), np.array([[1.0]]), cache)
print("pencil: h", pencil_h[0].round(3), "  dz", pencil_dz[0].round(3), "  dold_c", pencil_dold_c[0].round(3))
assert np.allclose(pencil_dz, [[0.5, np.log(3) - 0.5, 1.5, 1]]) and np.allclose(pencil_dold_c, 2)

# %% [markdown]
# ## Through time
#
# Put $n$ steps in a row, for one history. The output $y$ has the shown states $h_1, \dots, h_n$ as its rows. What is still
# missing is B1, and how the steps are joined. Here is the drawing of two steps. Grey arrows are the forward pass. Red arrows
# are the backward pass; each carries the gradient that is written on it. Where two red arrows come into a box $c$ or $h$ they
# add up. Into a box $z$ they bring different quarters: these are multiplied by the slopes of B2 and put side by side.
# %%
BOXES = {  # place, half the width, words
    "old c": (0, 2, 0.3, "$c_{t-1}$"),
    "old h": (0, 0.9, 0.3, "$h_{t-1}$"),
    "x": (2, 0, 0.2, "$x_t$"),
    "z": (2, 0.9, 0.45, "$z_t$, then\n$i, f, g, o$"),
    "c": (4.3, 2, 0.3, "$c_t$"),
    "h": (5.6, 0.9, 0.3, "$h_t$"),
    "y": (5.6, 0, 0.2, "$y_t$"),
    "next x": (8.4, 0, 0.35, "$x_{t+1}$"),
    "next z": (8.4, 0.9, 0.58, "$z_{t+1}$, then\n$i, f, g, o$"),
    "next c": (10.7, 2, 0.35, "$c_{t+1}$"),
    "next h": (12, 0.9, 0.35, "$h_{t+1}$"),
    "next y": (12, 0, 0.35, "$y_{t+1}$"),
}
ARROWS = [  # from box, to box, what the red arrow carries; where these words stand
    ("old c", "c", "to $c_{t-1}$: dc ∘ f", 2.1, 1.83),
    ("old h", "z", "to $h_{t-1}$: dz Uᵀ", 0.85, 0.72),
    ("x", "z", "dz Wᵀ", 2.45, 0.4),
    ("z", "c", "di, df, dg", 2.75, 1.55),
    ("c", "h", "ds ∘ (1 − s²)", 5.75, 1.55),
    ("z", "h", "do = dh ∘ s", 4, 0.72),
    ("h", "y", "$dy_t$", 5.95, 0.42),
    ("c", "next c", "c_back: dc ∘ f of step t + 1", 7.7, 1.83),
    ("h", "next z", "h_back: dz Uᵀ\nof step t + 1", 6.95, 0.66),
    ("next x", "next z", "dz Wᵀ", 8.85, 0.4),
    ("next z", "next c", "di, df, dg", 9.15, 1.55),
    ("next c", "next h", "ds ∘ (1 − s²)", 12.15, 1.55),
    ("next z", "next h", "do = dh ∘ s", 10.4, 0.72),
    ("next h", "next y", "$dy_{t+1}$", 12.45, 0.42),
]
blue = dict(boxstyle="round,pad=0.4", fc="#e8f0fa", ec="C0")
there = dict(arrowstyle="-|>", color="0.6", lw=1.5, shrinkA=0, shrinkB=0)  # forward
back = dict(arrowstyle="-|>", color="C3", lw=1.5, shrinkA=0, shrinkB=0)
GAP = 0.05  # half the distance of the two arrows between the same boxes


def edge(start, end):  # where the line from the middle of box `start` to the middle of box `end` leaves `start`
    x0, y0, wide, words = BOXES[start]
    tall = 0.22 if "\n" in words else 0.14
    way = np.array([BOXES[end][0] - x0, BOXES[end][1] - y0])
    return np.array([x0, y0]) + way / max(abs(way[0]) / wide, abs(way[1]) / tall)


with figure("20_bilstm_steps", size=(13, 4.4)) as (fig, ax):
    for start, end, words, left, bottom in ARROWS:
        tail, head = edge(start, end), edge(end, start)
        aside = np.array([tail[1] - head[1], head[0] - tail[0]])  # at a right angle to the arrow
        aside = GAP * aside / np.hypot(*aside)
        ax.annotate("", head + aside, tail + aside, arrowprops=there)
        ax.annotate("", tail - aside, head - aside, arrowprops=back)
        ax.text(left, bottom, words, color="C3", ha="center", va="center", fontsize=9)
    for left, bottom, _, words in BOXES.values():
        ax.text(left, bottom, words, ha="center", va="center", bbox=blue)
    ax.set(xlim=(-0.5, 13.4), ylim=(-0.3, 2.4), title="two roads lead to the left, from step to step: one for c, one for h")
    ax.axis("off")

# %% [markdown]
# **Two roads lead to the left.** The upper one joins the cells: step $t+1$ computes $dc^{old} = dc \circ f$ in its B3, and this
# is the `c_back` of step $t$, one summand of its $dc_t$. The lower one joins the shown states: $h_t$ has two uses as well. The
# layers above read it, from there comes $dy_t$; and step $t+1$ reads it through $U$. So
#
# $$ dh_t = dy_t + h\_back_t \qquad\qquad dc_t = c\_back_t + dh_t \circ o_t \circ (1 - s_t^2) $$
# $$ h\_back_{t-1} = dz_t\, U^\top \qquad\qquad c\_back_{t-1} = dc_t \circ f_t $$
#
# The first line belongs to step $t$, the second is what it hands to step $t-1$. After the last step comes nothing:
# $h\_back_n = c\_back_n = 0$.
#
# **B1**, of $z_t = x_t W + h_{t-1} U + b$. In index notation $p$ counts the inputs, $k$ the states, $r$ the $4H$ columns:
#
# $$ z_{tr} = \sum_p x_{tp} W_{pr} + \sum_k h_{t-1,k}\, U_{kr} + b_r $$
#
# * $x_{tp}$ stands in step $t$ only, in all columns $r$, with the slope $W_{pr}$. So $dx_{tp} = \sum_r dz_{tr} W_{pr}$.
# * $h_{t-1,k}$ stands there too, with the slope $U_{kr}$: $h\_back_{t-1,k} = \sum_r dz_{tr} U_{kr}$, the matrix product above.
# * $W_{pr}$ stands in column $r$ of **every** step, with the slope $x_{tp}$. So it gets a sum over the steps:
#   $dW_{pr} = \sum_t x_{tp}\, dz_{tr}$.
# * In the same way $dU_{kr} = \sum_t h_{t-1,k}\, dz_{tr}$, with the state **before** the step, and $db_r = \sum_t dz_{tr}$.
#
# In the code a single history is a row of its own, `x[t : t + 1]` with the shape $[1, D]$, as `cell_forward` takes several.
# The two switches lose one of the roads; we need them at the end.
# %%


def lstm_backward_slow(dy, x, W, U, b, keep_h=True, keep_c=True):  # [n,H], … -> by x, W, U, b; dz, dh, c_back of each step
    n, H = dy.shape
    h, c = np.zeros((1, H)), np.zeros((1, H))
    before, caches = [], []
    for t in range(n):
        before.append(h)  # the state that step t reads: the one BEFORE it
        h, c, cache = cell_forward(x[t : t + 1] @ W + h @ U + b, c)
        caches.append(cache)
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    all_dz, all_dh, all_c_back = np.zeros((n, 4 * H)), np.zeros((n, H)), np.zeros((n, H))
    h_back, c_back = np.zeros((1, H)), np.zeros((1, H))  # after the last step comes nothing
    for t in reversed(range(n)):
        dh = dy[t : t + 1] + h_back  # both uses of h_t
        all_dh[t], all_c_back[t] = dh[0], c_back[0]
        dz, c_back = cell_backward(dh, c_back, caches[t])  # B5 to B2; this c_back is that of step t - 1
        h_back = dz @ U.T  # B1
        if not keep_h:
            h_back = np.zeros((1, H))
        if not keep_c:
            c_back = np.zeros((1, H))
        all_dz[t] = dz[0]
        dx[t] = dz[0] @ W.T
        dW += x[t : t + 1].T @ dz
        dU += before[t].T @ dz
        db += dz[0]
    return dx, dW, dU, db, all_dz, all_dh, all_c_back


# %% [markdown]
# How do we check an intermediate such as $dh_3$? By a nudge. We add a small number to $h_3$ inside the forward pass, and let
# the rest of the history run on with it. The derivative of $L$ by the nudge is $dh_3$, with all that comes from later steps.
# The nudge of $c_3$ comes after $h_3$ has been computed, so only the next step sees it: its derivative is $c\_back_3$.
# %%
dy = rng.standard_normal((n, H))
dx, dW, dU, db, all_dz, all_dh, all_c_back = lstm_backward_slow(dy, x, W, U, b)


def loss_with_nudges(nudge_z, nudge_h, nudge_c):
    h, c = np.zeros((1, H)), np.zeros((1, H))
    total = 0.0
    for t in range(n):
        h, c, _ = cell_forward(x[t : t + 1] @ W + h @ U + b + nudge_z[t], c)
        h, c = h + nudge_h[t], c + nudge_c[t]
        total += (dy[t] * h[0]).sum()
    return total


no_z, no_h, no_c = np.zeros((n, 4 * H)), np.zeros((n, H)), np.zeros((n, H))
assert scoreboard(
    ("dh", all_dh, no_h, lambda nudge: loss_with_nudges(no_z, nudge, no_c)),
    ("c_back", all_c_back, no_c, lambda nudge: loss_with_nudges(no_z, no_h, nudge)),
    ("dz", all_dz, no_z, lambda nudge: loss_with_nudges(nudge, no_h, no_c)),
)


def loss_of_history(_):  # the scoreboard moves one of the arrays in place, so the argument is not needed
    return (dy * lstm_slow(x, W, U, b)).sum()


assert scoreboard(
    ("x", dx, x, loss_of_history),
    ("W", dW, W, loss_of_history),
    ("U", dU, U, loss_of_history),
    ("b", db, b, loss_of_history),
)

# %% [markdown]
# ## How to derive the next one
#
# For a cell that is not this one, lesson 09 has the list ("How to derive the next one"): one thing a line, mark the uses, go
# from the last line to the first. Three things are common in other cells:
#
# * **A factor $1 - f$.** In some cells the new content comes in where the old one goes: $c = f \circ c^{old} + (1 - f) \circ g$.
#   Then $f$ has two uses, and the slope of the second is $-g$: $df = dc \circ (c^{old} - g)$.
# * **A gate that looks at the cell** (a "peephole"): $o = \sigma(z^o + m \circ c)$ with a parameter $m$. Now $c$ has three uses.
#   The third needs $dz^o$ first. So compute $do$ and $dz^o$, then $dc = c\_back + ds \circ (1 - s^2) + dz^o \circ m$. The order
#   of the forward lines, reversed, tells it.
# * **A product in brackets**, such as $(m \circ h)\,U$: give it a name, $q = m \circ h$, and it is two lines that you know.
#
# The first two in one cell, with one number each for $m$:
# %%
m = rng.standard_normal(H)


def other_cell(zf, zg, zo, old_c, m):
    f = sigmoid(zf)
    g = np.tanh(zg)
    c = f * old_c + (1 - f) * g
    o = sigmoid(zo + m * c)
    s = np.tanh(c)
    return f, g, c, o, s


def other_loss(_):  # the arrays are moved in place
    _, _, c, o, s = other_cell(zf, zg, zo, old_c, m)
    return (dh * o * s).sum() + (c_back * c).sum()


f, g, c, o, s = other_cell(zf, zg, zo, old_c, m)
ds = dh * o
dzo = dh * s * o * (1 - o)
dc = c_back + ds * (1 - s**2) + dzo * m  # three uses
dzf = dc * (old_c - g) * f * (1 - f)  # f has two uses
dzg = dc * (1 - f) * (1 - g**2)
dold_c = dc * f
dm = (dzo * c).sum(0)  # m is used in every row
assert scoreboard(
    ("zf", dzf, zf, other_loss),
    ("zg", dzg, zg, other_loss),
    ("zo", dzo, zo, other_loss),
    ("old cell", dold_c, old_c, other_loss),
    ("m", dm, m, other_loss),
)

# %% [markdown]
# ## The package: many histories, no padding
#
# *(You may skip this section on a first reading.)*
#
# Several histories are packed: all their rows stand in one array, one history after the other. `offsets` holds the borders:
# history $j$ has the rows `offsets[j]` to `offsets[j+1] - 1`. Below, `offsets` = (0, 2, 2, 6, 7): the histories of 2, 0, 4 and 1
# behaviours are rows 0–1, none, 2–5 and 6.
#
# Steps must come one after the other, but histories may go side by side. The usual way is **padding**: all of them are filled
# up with rows of zeros to the length of the longest. The package does without. It sorts the histories by length, longest first.
# Then those that still run at step $t$ are always the first $A_t$. The state is cut as histories end, and no cell is computed
# for nothing. Each printed list holds the rows of a step. Backwards, the first step takes each history's last behaviour.
# %%
offsets = np.array([0, 2, 2, 6, 7])
for backwards in (False, True):
    print("backwards" if backwards else "forwards ", *[rows.tolist() for rows in steps(offsets, backwards)])
assert [rows.tolist() for rows in steps(offsets, False)] == [[2, 0, 6], [3, 1], [4], [5]]

x7, dy7 = rng.standard_normal((7, D)), rng.standard_normal((7, H))
both = {}
for backwards in (False, True):
    y, cache = lstm_forward(x7, W, U, b, offsets, backwards)
    both[backwards] = y
    package = lstm_backward(dy7, cache)  # by x, W, U, b
    ours = [np.zeros_like(array) for array in (x7, W, U, b)]
    for start, stop in zip(offsets[:-1], offsets[1:]):
        rows = np.arange(start, stop)
        if backwards:
            rows = rows[::-1]
        assert relative_error(y[rows], lstm_slow(x7[rows], W, U, b)) < 1e-14
        own_dx, *own = lstm_backward_slow(dy7[rows], x7[rows], W, U, b)[:4]
        ours[0][rows] = own_dx
        for total, part in zip(ours[1:], own):
            total += part
    for mine, theirs in zip(ours, package):
        assert relative_error(mine, theirs) < 1e-13

# %% [markdown]
# The user vector takes the two final $h$. Forwards, that is the **last** row of a history; backwards it is the **first**
# row, as there the reading ends. An empty history gives zeros.
# %%
v, _ = ends_forward(np.concatenate([both[False], both[True]], axis=1), offsets)
assert (v[2] == np.concatenate([both[False][5], both[True][2]])).all() and not v[1].any()

# %% [markdown]
# ## Why gradients vanish, and what a forget bias of 1 does
#
# Look at the upper road alone: from cell to cell the gradient is multiplied by a forget gate. With bias 0 a gate starts near
# $\sigma(0) = ½$: after ten behaviours $½^{10}$ is left, a thousandth. With bias 1 it starts near $\sigma(1) = 0.73$, and
# $0.73^{10}$ is 4 in 100. So the package's LSTMs start with a forget bias of 1, and training moves it. (Attention needs **one**
# step for any distance. That is one of the paper's arguments for it.)
#
# Now we measure. A history has 80 random behaviours, only its final state is used, and we look at the size of $dx_t$ by its
# distance $k$ to the end, for the last 40. (The first behaviours of the history differ: their cells are still small.) We do it
# twice. The **whole** gradient has both roads. For the **upper road alone** we put zeros in place of $U$ on the way back. The
# last two numbers of each line, *per step*, are the factor from one behaviour to the one before it, for the upper road alone
# and for the whole: the mean of $k$ = 1 to 39, as a geometric mean. Twenty seeds:
# %%
width, length, near, seeds = 32, 80, 40, 20


def by_distance(dy, cache):  # [length,H] -> [near]
    dx = lstm_backward(dy, cache)[0]
    size = np.linalg.norm(dx, axis=1)[::-1]
    return size[:near] / size[0]


def factor_per_step(sizes):  # [seeds,near] -> [seeds]
    return (sizes[:, -1] / sizes[:, 1]) ** (1 / (near - 2))


whole, upper = {}, {}
for bias in (-1, 0, 1, 3):
    b_far = np.repeat([0.0, bias, 0, 0], width)  # i, f, g, o
    whole[bias], upper[bias] = np.zeros((seeds, near)), np.zeros((seeds, near))
    gate = np.zeros(seeds)
    for seed in range(seeds):
        draw = np.random.default_rng([20, seed])
        x_far = draw.standard_normal((length, width))
        W_far, U_far = draw.standard_normal((2, width, 4 * width)) / np.sqrt(width)  # so z has the size of x, at any width
        only_last = np.zeros((length, width))
        only_last[-1] = draw.standard_normal(width)
        _, cache = lstm_forward(x_far, W_far, U_far, b_far, np.array([0, length]), False)
        whole[bias][seed] = by_distance(only_last, cache)
        upper[bias][seed] = by_distance(only_last, cache._replace(U=np.zeros_like(U_far)))
        gate[seed] = np.mean([step.cell.f.mean() for step in cache.steps])
    per_step, per_step_upper = factor_per_step(whole[bias]), factor_per_step(upper[bias])
    print(f"forget bias {bias:2}, σ(bias) {sigmoid(bias):.2f}, mean gate {gate.mean():.2f}", end="")
    print(f"   ten before the last: {whole[bias][:, 10].mean():.1e} of the gradient", end="")
    print(f"   per step: upper road {per_step_upper.mean():.2f}, whole {per_step.mean():.2f}")
    assert (per_step > per_step_upper).all()  # for every seed
    assert abs(per_step_upper.mean() - gate.mean()) < 0.02
    assert bias == 0 or (abs(gate - 0.5) < abs(sigmoid(bias) - 0.5)).all()  # drawn towards ½
for low, high in ((-1, 0), (0, 1), (1, 3)):
    assert (factor_per_step(whole[low]) < factor_per_step(whole[high])).all()
assert whole[0][:, 10].max() < 0.05 < whole[3][:, 10].min()
assert upper[3][:, 1].mean() < 0.6 < 0.9 < factor_per_step(upper[3]).mean()  # the first step back and the others

# %% [markdown]
# Three things can be read from it.
#
# * **On the upper road each step multiplies by about the mean gate.** It lies above σ(−1), and below σ(1) and σ(3). For $z^f$
#   scatters around the bias, and σ is flatter the farther it is from 0. So a step towards 0 moves a gate more than a step
#   away from 0, and the mean is drawn towards ½.
# * **The whole gradient falls more slowly**, in every one of the runs. The roads through $h$ and $U$ bring more.
# * **With bias 3 the first step back, from the last behaviour to the one before it, loses more than the others.** The last
#   behaviour also acts through its own gate $o$, a way that no earlier behaviour has on the upper road. Where cells are large,
#   tanh is flat, and this way is a large part of the gradient. So much is lost in this step back, and little in the next ones.
#
# ## The picture
#
# Left: the size of the gradient by distance, on a logarithmic scale (the geometric mean of the seeds). Right: 16 histories,
# sorted. Blue cells are computed. White ones are what padding would add.
# %%
lengths = np.minimum(1 + rng.geometric(1 / 8, size=16), 100)
print(f"16 histories of {lengths.min()} to {lengths.max()}: {lengths.sum()} cells packed, {16 * lengths.max()} padded")
with figure("20_bilstm", columns=2, size=(12, 4.4)) as (fig, axes):
    left, right = axes
    for bias, colour in zip(whole, ("C3", "C1", "C0", "C2")):
        left.semilogy(np.exp(np.log(whole[bias]).mean(0)), color=colour, label=f"forget bias {bias}")
        left.semilogy(np.exp(np.log(upper[bias]).mean(0)), "--", lw=1, color=colour)
    left.plot([], [], "0.3", label="line: the whole gradient")
    left.plot([], [], "--", lw=1, color="0.3", label="dashed: the upper road alone")
    left.set(title="how much of the final state's gradient arrives", xlabel="k, behaviours before the last")
    left.set(ylabel="size of dx, the last one's = 1", ylim=(1e-6, 60))
    left.legend(loc="upper center", ncols=3, fontsize=8)
    order = np.sort(lengths)[::-1]
    right.imshow(np.arange(order[0]) < order[:, None], cmap="Blues", aspect="auto", vmax=1.6)
    right.set(title=f"{lengths.sum()} cells computed (blue), {16 * lengths.max() - lengths.sum()} of padding left out")
    right.set(xlabel="step", ylabel="history")

# %% [markdown]
# ## What people get wrong
#
# 1. **The lower road is lost** (`h_back`).
# 2. **The upper road is lost** (`c_back`). In both cases the gradient of the last row is still right, as nothing comes after
#    it. So a test with histories of one behaviour passes. Histories of two show it.
# 3. **U meets the wrong state.** In step $t$ it stands before $h_{t-1}$, not before $h_t$.
# 4. **Offsets ignored.** A history begins with the memory of the one before it.
# 5. **The backward LSTM's final state is taken from the last row.** Backwards, the last row is where reading *begins*: it
#    knows one behaviour. A change of the first behaviour does not reach it.
# %%
for number, lost in ((1, "h_back"), (2, "c_back")):
    wrong = lstm_backward_slow(dy, x, W, U, b, keep_h=lost != "h_back", keep_c=lost != "c_back")[0]
    print(f"{number}. {lost} lost: error of dx {relative_error(wrong, dx):.2f}, in its last row 0")
    assert relative_error(wrong, dx) > 0.1 and relative_error(wrong[-1], dx[-1]) < 1e-14
wrong_dU = lstm_slow(x, W, U, b).T @ all_dz
print(f"3. U with h_t in place of the state before: error {relative_error(wrong_dU, dU):.2f}")
one, _ = lstm_forward(x7, W, U, b, np.array([0, 7]), False)
print(f"4. offsets ignored: error {relative_error(one, both[False]):.2f}")
moved = x7.copy()
moved[2] += 1  # the first behaviour of the history in rows 2 to 5
change = np.abs(lstm_forward(moved, W, U, b, offsets, True)[0] - both[True]).max(1)
print(f"5. backwards, the first behaviour moves: row 2 changes by {change[2]:.2f}, row 5 by {change[5]:.0f}")
assert relative_error(wrong_dU, dU) > 0.05 and relative_error(one, both[False]) > 0.05
assert change[2] > 0 and change[5] == 0

# %% [markdown]
# ## Your turn
#
# `python -m lessons.exercises check 20` (from the repository's root). Take paper first. One step of a GRU, a cell with one
# state and two gates, which stands nowhere in this lesson. Then a whole history of it, through time. Last a stranger's
# back-propagation with two faults.
# %%
print("lesson 20 done: walk back from the last step; the cell and the shown state have two uses each; W, U and b get sums")
