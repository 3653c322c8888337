# %% [markdown]
# # Lesson 20. Bi-LSTM: back-propagation through time
#
# *Before it: lessons 02 (numeric derivatives) and 05 (products). It stands alone otherwise. About 50 minutes.*
#
# A recurrent net reads a history from its first behaviour to its last. After each one it has a **state**: all that it
# remembers. The simplest has a state of one number, and one parameter $u$ that says how much is kept:
#
# $$ h_t = u\, h_{t-1} + x_t \qquad h_0 = 0 $$
#
# Let $u = ½$ and the history be $x = (8, 0, 4)$. Then $h = (8, 4, 6)$. The loss is the last state, $L = h_3$.
#
# Now backwards. $h_3$ moves $L$ one to one. $h_2$ goes into $h_3$ with the factor $u$, and $h_1$ into $h_2$ with $u$ again:
#
# $$ dh_3 = 1 \qquad dh_2 = u\,dh_3 = ½ \qquad dh_1 = u\, dh_2 = ¼ $$
#
# And the parameter? It is used in **every** step, so its gradient is a sum. In step $t$ it stands before $h_{t-1}$:
#
# $$ du = \sum_t dh_t\, h_{t-1} = 1 · 4 + ½ · 8 + ¼ · 0 = 8 $$
#
# The test: $h_3 = u^2 x_1 + u x_2 + x_3$, and its derivative by $u$ is $2 u x_1 + x_2 = 8$. This is all of back-propagation
# through time. **Walk from the last step to the first. Hand the state's gradient on to the step before. Add up for what is
# used in every step.** The rest of the lesson does it for a better state.
#
# ## What the signs mean
#
# * $dZ$ (in code `dZ`), for any array $Z$, is the derivative of the loss $L$ by $Z$. It has the shape of $Z$, and
#   $dZ_{ij} = \partial L/\partial Z_{ij}$.
# * In the model, layers above hand down the gradient of what we return: the **upstream gradient**. Here nothing is above. So
#   we make a loss of our own, $L = \sum dy \circ y$ with random numbers $dy$, drawn once. Its derivative by $y$ is $dy$.
#   Random, for with equal numbers some wrong gradients would look right.
# * $A \circ B$ is the product entry by entry, `A * B` in NumPy. $A^\top$ is the transpose, `A.T`.
# * $\sigma(x) = 1/(1 + e^{-x})$ lies between 0 and 1. Its slope is $\sigma' = \sigma(1 - \sigma)$. The slope of $\tanh$ is
#   $1 - \tanh^2$.
# * In code, `relative_error(A, B)` is the largest difference of two arrays, divided by their largest entry. `scoreboard` takes
#   rows of four: a name, our gradient, its array, and the rest of the computation as a function of this array, up to $L$.
#   It moves each entry by a little and says whether our gradient agrees.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.lstm import cell_backward, cell_forward, ends_forward, lstm_backward, lstm_forward, steps
from atrank_np.layers.ranking import sigmoid

# %% [markdown]
# ## The LSTM
#
# With $u = ½$ a thousandth is left of $x_1$ after ten steps; with $u = 2$ the state explodes. The LSTM (Hochreiter and
# Schmidhuber, 1997) lets the net decide, in each step and for each number, what is kept. It has two states of $H$ numbers:
# the **cell** $c_t$ is the memory, and $h_t$ is the part of it that is shown.
#
# $$ z_t = x_t W + h_{t-1} U + b \qquad (i, f, g, o) = (\sigma, \sigma, \tanh, \sigma)(z_t) $$
# $$ c_t = f \circ c_{t-1} + i \circ g \qquad h_t = o \circ \tanh(c_t) \qquad h_0 = c_0 = 0 $$
#
# $x_t$ has $D$ numbers, $z_t$ has $4H$: a quarter for each of $i, f, g, o$. Three are **gates** between 0 and 1: how much
# comes in ($i$), how much of the old cell is kept ($f$, the forget gate), how much is shown ($o$). $g$ is what would come in.
#
# The competitor of the paper is a Bi-LSTM. It has two LSTMs with parameters of their own; one reads forwards, the other
# backwards. The two final states side by side make the user vector.
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
                r = gate * H + k
                z.append(x_t @ W[:, r] + h @ U[:, r] + b[r])
            i, f, o = sigmoid(z[0]), sigmoid(z[1]), sigmoid(z[3])
            g = np.tanh(z[2])
            new_c[k] = f * c[k] + i * g
            new_h[k] = o * np.tanh(new_c[k])
        h, c = new_h, new_c
        shown.append(h)
    return np.array(shown).reshape(-1, H)


rng = np.random.default_rng(20)
n, D, H = 5, 3, 2
x = 0.8 * rng.standard_normal((n, D))
W = 0.8 * rng.standard_normal((D, 4 * H))
U = 0.8 * rng.standard_normal((H, 4 * H))
b = 0.8 * rng.standard_normal(4 * H)

# %% [markdown]
# ## One step, forward, each line with a number
#
# We take three histories at once, a row each. Rows do not meet. Old cell `c`, new cell `new`. F1 to F4 number the lines; in
# the backward pass B4 is the step back through F4, and so on.
# %%
A = 3
z, c = rng.standard_normal((A, 4 * H)), rng.standard_normal((A, H))
zi, zf, zg, zo = np.split(z, 4, axis=1)
i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)  # F1
new = f * c + i * g  # F2
t = np.tanh(new)  # F3
h = o * t  # F4

# %% [markdown]
# ## One step, backward, one rule at a time
#
# Two gradients come in from later steps: `dh`, by the state that is shown, and `dnew`, by the cell that the next step keeps.
# Both are random here. So $L = \sum dh \circ h + \sum dnew \circ new$.
# %%
dh, dnew = rng.standard_normal((2, A, H))

# %% [markdown]
# **B4**, of $h_{ak} = o_{ak}\, t_{ak}$. A product: each factor gets the upstream gradient times the other factor.
#
# $$ do_{ak} = dh_{ak}\, t_{ak} \qquad dt_{ak} = dh_{ak}\, o_{ak} $$
# %%
do = dh * t
dt = dh * o


def loss_from_t(t):
    return (dh * o * t).sum()


def loss_from_o(o):
    return (dh * o * t).sum()


assert scoreboard(("t", dt, t, loss_from_t), ("o", do, o, loss_from_o))

# %% [markdown]
# **B3**, of $t = \tanh(new)$. The new cell has **two uses**: it is shown, through $t$, and the next step keeps it. What is
# used twice gets the sum of two gradients:
#
# $$ dnew^{all}_{ak} = dnew_{ak} + dt_{ak}\,(1 - t_{ak}^2) $$
# %%
dnew_all = dnew + dt * (1 - t**2)


def loss_from_new(new):
    return (dh * o * np.tanh(new)).sum() + (dnew * new).sum()


assert scoreboard(("new cell", dnew_all, new, loss_from_new))

# %% [markdown]
# **B2**, of $new_{ak} = f_{ak} c_{ak} + i_{ak} g_{ak}$. Two products, so four gradients, each with the other factor:
#
# $$ df = dnew^{all} \circ c \qquad dc = dnew^{all} \circ f \qquad di = dnew^{all} \circ g \qquad dg = dnew^{all} \circ i $$
#
# Look at $dc$: the gradient of the old cell is that of the new cell times the forget gate. No matrix, no slope of a $\tanh$.
# %%
df = dnew_all * c
dc = dnew_all * f
di = dnew_all * g
dg = dnew_all * i


def loss_from_parts(f, c, i, g):
    return loss_from_new(f * c + i * g)


assert scoreboard(
    ("f", df, f, lambda f: loss_from_parts(f, c, i, g)),
    ("old cell", dc, c, lambda c: loss_from_parts(f, c, i, g)),
    ("i", di, i, lambda i: loss_from_parts(f, c, i, g)),
    ("g", dg, g, lambda g: loss_from_parts(f, c, i, g)),
)

# %% [markdown]
# **B1**, of $i = \sigma(zi)$ and so on. Times the slope, which can be written with the value itself:
#
# $$ dzi = di \circ i \circ (1 - i) \qquad dzf = df \circ f \circ (1 - f) \qquad dzg = dg \circ (1 - g^2) \qquad
#    dzo = do \circ o \circ (1 - o) $$
# %%
dzi = di * i * (1 - i)
dzf = df * f * (1 - f)
dzg = dg * (1 - g**2)
dzo = do * o * (1 - o)
dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)


def loss_from_z(z):
    zi, zf, zg, zo = np.split(z, 4, axis=1)
    new = sigmoid(zf) * c + sigmoid(zi) * np.tanh(zg)
    h = sigmoid(zo) * np.tanh(new)
    return (dh * h).sum() + (dnew * new).sum()


assert scoreboard(("z", dz, z, loss_from_z))

# %% [markdown]
# The package's version of the step, `cell_forward` and `cell_backward`, gives the same:
# %%
package_h, package_new, cache = cell_forward(z, c)
package_dz, package_dc = cell_backward(dh, dnew, cache)
assert relative_error(package_h, h) < 1e-14 and relative_error(package_new, new) < 1e-14
assert relative_error(package_dz, dz) < 1e-14 and relative_error(package_dc, dc) < 1e-14

# %% [markdown]
# ## With a pencil
#
# $\sigma(0) = ½$, and $\tanh(½ \ln 3) = (3-1)/(3+1) = ½$. Let $z = 0$ and the old cell be $\ln 3$: $i = f = o = ½$, $g = 0$,
# the new cell ½ ln 3, $t = ½$, $h = ½ · ½ = ¼$. Let `dh` = 8 and `dnew` = 0. B4: `do` = 4, `dt` = 4. B3: 4 · (1 − ¼) = 3. B2:
# `df` = 3 ln 3, `dc` = 1½, `di` = 0, `dg` = 1½. B1, with σ' = ¼: `dz` = (0, ¾ ln 3, 1½, 1).
# %%
pencil_h, _, cache = cell_forward(np.zeros((1, 4)), np.array([[np.log(3)]]))
pencil_dz, pencil_dc = cell_backward(np.array([[8.0]]), np.zeros((1, 1)), cache)
print("pencil: h", pencil_h[0], "  dz", pencil_dz[0].round(3), "  dc", pencil_dc[0])
assert np.allclose(pencil_dz, [[0, 0.75 * np.log(3), 1.5, 1]]) and np.allclose(pencil_dc, 1.5)

# %% [markdown]
# ## Through time
#
# Put $n$ steps in a row. All have **the same** $W, U, b$. In index notation, $p$ counts the inputs, $k$ the states, $r$ the
# $4H$ gate inputs:
#
# $$ z_{tr} = \sum_p x_{tp} W_{pr} + \sum_k h_{t-1,k}\, U_{kr} + b_r $$
#
# Each term is a product again, so each gradient has the other factor. What is used at one step only has no sum over $t$; what
# is used in all steps has one:
#
# $$ dx_{tp} = \sum_r dz_{tr} W_{pr} \qquad dh_{t-1,k} \mathrel{+}= \sum_r dz_{tr} U_{kr} \qquad
#    dW_{pr} = \sum_t x_{tp}\, dz_{tr} \qquad dU_{kr} = \sum_t h_{t-1,k}\, dz_{tr} \qquad db_r = \sum_t dz_{tr} $$
#
# The $\mathrel{+}=$ matters: $h_{t-1}$ has two uses as well. It is shown to the layers above, from where $dy_{t-1}$ comes,
# and the next step reads it through $U$. So two gradients travel to the left, from step to step: `dh` and `dc`. Both are 0
# after the last step.
# %%


def lstm_backward_slow(dy, x, W, U, b, keep_dh=True, keep_dc=True):  # [n,H], … -> by x, W, U, b, and dz, dh, dc of each step
    n, H = dy.shape
    h, c = np.zeros((1, H)), np.zeros((1, H))
    before, caches = [], []
    for t in range(n):
        before.append(h)  # the state that step t reads: the one BEFORE it
        h, c, cache = cell_forward(x[t : t + 1] @ W + h @ U + b, c)
        caches.append(cache)
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros_like(b)
    all_dz, all_dh, all_dc = np.zeros((n, 4 * H)), np.zeros((n, H)), np.zeros((n, H))
    dh, dc = np.zeros((1, H)), np.zeros((1, H))  # what comes from the step after; the switches below lose one of them
    for t in reversed(range(n)):
        all_dc[t] = dc[0]
        dh = dy[t : t + 1] + (dh if keep_dh else 0)
        dz, dc = cell_backward(dh, dc if keep_dc else 0 * dc, caches[t])
        all_dh[t], all_dz[t] = dh[0], dz[0]
        dx[t] = dz[0] @ W.T
        dW += x[t : t + 1].T @ dz
        dU += before[t].T @ dz
        db += dz[0]
        dh = dz @ U.T
    return dx, dW, dU, db, all_dz, all_dh, all_dc


# %% [markdown]
# How do we check an intermediate such as $dh_3$? By a nudge. We add a small number to $h_3$ inside the forward pass, and let
# the rest of the history run on with it. The derivative of $L$ by the nudge is $dh_3$, with all that comes from later steps.
# %%
dy = rng.standard_normal((n, H))
dx, dW, dU, db, all_dz, all_dh, all_dc = lstm_backward_slow(dy, x, W, U, b)


def loss_with_nudges(nudge_z, nudge_h, nudge_c):
    """L, where each step's z, h and c are moved by the nudges. A nudge of c is seen by the next step, not shown."""
    h, c = np.zeros((1, H)), np.zeros((1, H))
    total = 0.0
    for t in range(n):
        h, c, _ = cell_forward(x[t : t + 1] @ W + h @ U + b + nudge_z[t], c)
        h, c = h + nudge_h[t], c + nudge_c[t]
        total += (dy[t] * h[0]).sum()
    return total


no_z, no_h, no_c = np.zeros((n, 4 * H)), np.zeros((n, H)), np.zeros((n, H))
assert scoreboard(
    ("h of all steps", all_dh, no_h, lambda nudge: loss_with_nudges(no_z, nudge, no_c)),
    ("c of all steps", all_dc, no_c, lambda nudge: loss_with_nudges(no_z, no_h, nudge)),
    ("z of all steps", all_dz, no_z, lambda nudge: loss_with_nudges(nudge, no_h, no_c)),
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
# ## The package: many histories, no padding
#
# Steps must come one after the other, but histories may go side by side. The usual way fills all of them up to the longest.
# The package sorts them by length, longest first. Then those that still run at step $t$ are always the first $A_t$. The state
# is cut as histories end, and no cell is computed for nothing.
#
# Below, the histories of 2, 0, 4 and 1 behaviours are rows 0–1, none, 2–5 and 6. Each printed list holds the rows of a step.
# Backwards, step 0 takes each history's last behaviour.
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
# The user vector takes the two final states. Forwards, that is the **last** row of a history; backwards it is the **first**
# row, as there the reading ends. An empty history gives zeros.
# %%
v, _ = ends_forward(np.concatenate([both[False], both[True]], axis=1), offsets)
assert (v[2] == np.concatenate([both[False][5], both[True][2]])).all() and not v[1].any()

# %% [markdown]
# ## Why gradients vanish, and what a forget bias of 1 does
#
# Look at the cell's own path: $dc_{t-1} = f_t \circ dc_t$. After $k$ steps the gradient has been multiplied by $k$ forget
# gates. With bias 0 a gate starts near $\sigma(0) = ½$: after ten behaviours $½^{10}$ is left, a thousandth. With bias 1 it
# starts near $\sigma(1) = 0.73$, and $0.73^{10}$ is 4 in 100. So the package's LSTMs start with a forget bias of 1, and
# training moves it. (Attention needs **one** step for any distance. That is one of the paper's arguments for it.)
#
# This counts one path only; there are others, through $h$ and $U$. So we measure the whole: 40 random behaviours, only the
# final state is used, and we look at the size of $dx_t$ by distance. Five seeds:
# %%
wide, far = 32, 40
arrives = {}
for bias in (-1, 0, 1, 3):
    arrives[bias] = []
    for seed in range(5):
        draw = np.random.default_rng([20, seed])
        x_far = draw.standard_normal((far, wide))
        W_far, U_far = draw.standard_normal((2, wide, 4 * wide)) / np.sqrt(wide)
        b_far = np.repeat([0.0, bias, 0, 0], wide)  # i, f, g, o
        only_last = np.zeros((far, wide))
        only_last[-1] = draw.standard_normal(wide)
        _, cache = lstm_forward(x_far, W_far, U_far, b_far, np.array([0, far]), False)
        size = np.linalg.norm(lstm_backward(only_last, cache)[0], axis=1)[::-1]  # of dx, by distance to the end
        arrives[bias].append(size / size[0])
    arrives[bias] = np.array(arrives[bias])
    ten = arrives[bias][:, 10]
    print(f"forget bias {bias:2}: ten before the last, {ten.mean():.4f} of the gradient ({ten.min():.4f} to {ten.max():.4f})")
for low, high in ((-1, 0), (0, 1), (1, 3)):
    assert (arrives[low][:, 10] < arrives[high][:, 10]).all()  # for every seed
assert arrives[0][:, 10].max() < 0.05 < arrives[3][:, 10].min()

# %% [markdown]
# ## The picture
#
# Left: the size of the gradient by distance, the mean of five seeds on a logarithmic scale. The dashed lines are
# $\sigma(bias)^k$, the cell's own path if all gates stood at σ(bias). Gates scatter around it, and the larger ones carry what
# is left; so the measured lines lie above. Right: 16 histories, sorted. Blue cells are computed. White ones are what padding
# would add.
# %%
lengths = np.minimum(1 + rng.geometric(1 / 8, size=16), 100)
print(f"16 histories of {lengths.min()} to {lengths.max()}: {lengths.sum()} cells packed, {16 * lengths.max()} padded")
with figure("20_bilstm", columns=2, size=(12, 4.4)) as (fig, axes):
    left, right = axes
    for bias, colour in zip(arrives, ("C3", "C1", "C0", "C2")):
        left.semilogy(arrives[bias].mean(0), color=colour, label=f"forget bias {bias}")
        left.semilogy(sigmoid(bias) ** np.arange(far), "--", lw=1, color=colour)
    left.set(title="how much of the final state's gradient arrives", xlabel="k, behaviours before the last")
    left.set(ylabel="size of dx, the last one's = 1", ylim=(1e-6, 20))
    left.legend(loc="upper center", ncols=4, fontsize=8)
    order = np.sort(lengths)[::-1]
    right.imshow(np.arange(order[0]) < order[:, None], cmap="Blues", aspect="auto", vmax=1.6)
    right.set(title=f"{lengths.sum()} cells computed (blue), {16 * lengths.max() - lengths.sum()} of padding left out")
    right.set(xlabel="step", ylabel="history")

# %% [markdown]
# ## What people get wrong
#
# 1. **`dh` from the step after is lost**, or 2. **`dc` is**. Then the gradient of the last row is still right, as nothing
#    comes after it. So a test with histories of one behaviour passes. Histories of two show it.
# 3. **U meets the wrong state**: in step $t$ it stands before $h_{t-1}$, not $h_t$.
# 4. **Offsets ignored**: a history begins with the memory of the one before it.
# 5. **The backward LSTM's final state is taken from the last row.** Backwards, the last row is where reading *begins*: it
#    knows one behaviour. A change of the first behaviour does not reach it.
# %%
for number, lost in ((1, "dh"), (2, "dc")):
    wrong = lstm_backward_slow(dy, x, W, U, b, keep_dh=lost != "dh", keep_dc=lost != "dc")[0]
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
# `python -m lessons.exercises check 20` (from the repository's root). The step of a GRU, another cell with two gates, which
# stands nowhere in this lesson; the LSTM's own step; and a stranger's back-propagation with two faults.
# %%
print("lesson 20 done: walk back from the last step; the cell and the state have two uses each; W, U and b get sums")
