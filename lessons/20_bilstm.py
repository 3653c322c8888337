# %% [markdown]
# # Lesson 20. Bi-LSTM: back-propagation through time
#
# *Before it: lessons 02 (numeric derivatives) and 05 (products); else it stands alone. About 40 minutes.*
#
# A recurrent net reads a history in its order. After behaviour $t$ it has a state $h_t$, all that it remembers. The LSTM
# (Hochreiter and Schmidhuber, 1997) keeps a second one, the cell $c_t$, which changes by a sum:
#
# $$ z_t = x_t W + h_{t-1} U + b \qquad (i, f, g, o) = (\sigma, \sigma, \tanh, \sigma)(z_t) $$
# $$ c_t = f \circ c_{t-1} + i \circ g \qquad h_t = o \circ \tanh(c_t) \qquad h_0 = c_0 = 0 $$
#
# Three gates between 0 and 1: what comes in ($i$), what is kept ($f$), what is shown ($o$). The competitor of the paper reads
# forwards and, with parameters of its own, backwards; the two final states make the user vector.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import relative_error
from atrank_np.layers.lstm import cell_backward, cell_forward, ends_forward, lstm_backward, lstm_forward, steps
from atrank_np.layers.ranking import sigmoid


# %% [markdown]
# ## The slow version: one history, number by number
# %%
def lstm_slow(x, W, U, b):  # [n,D], [D,4H], [H,4H], [4H] -> [n,H]
    H, states = len(U), []
    h, c = [0.0] * H, [0.0] * H
    for x_t in x:
        z = [x_t @ W[:, r] + sum(h[k] * U[k, r] for k in range(H)) + b[r] for r in range(4 * H)]
        i, f, o = ([sigmoid(z[gate * H + k]) for k in range(H)] for gate in (0, 1, 3))
        g = [np.tanh(z[2 * H + k]) for k in range(H)]
        c = [f[k] * c[k] + i[k] * g[k] for k in range(H)]
        h = [o[k] * np.tanh(c[k]) for k in range(H)]
        states.append(h)
    return np.array(states)


rng = np.random.default_rng(20)
n, D, H = 5, 3, 2
x, W, U, b = (0.8 * rng.standard_normal(shape) for shape in ((n, D), (D, 4 * H), (H, 4 * H), 4 * H))

# %% [markdown]
# ## One step backward, in atoms
#
# Two gradients enter a step from the right: `dh`, by the state that is shown, and `dnew`, by the cell that goes on. The cell has
# **two uses**: it is shown (F4, F3), and the next step keeps it. So its two gradients add up.
# %%
A = 3  # three histories at once: rows do not meet
z, c = rng.standard_normal((A, 4 * H)), rng.standard_normal((A, H))
dh, dnew = rng.standard_normal((2, A, H))  # both upstream gradients, random
zi, zf, zg, zo = np.split(z, 4, axis=1)
i, f, g, o = sigmoid(zi), sigmoid(zf), np.tanh(zg), sigmoid(zo)  # F1
new = f * c + i * g  # F2
t = np.tanh(new)  # F3
h = o * t  # F4

do, dt = dh * t, dh * o  # B4
dnew_all = dnew + dt * (1 - t**2)  # B3: tanh' = 1 - tanh²; the two uses of the cell
di, dg, df, dc = dnew_all * g, dnew_all * i, dnew_all * c, dnew_all * f  # B2
dzi, dzf, dzg, dzo = di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)  # B1: σ' = σ (1 - σ)

ends = lambda o, new: (dh * o * np.tanh(new) + dnew * new).sum()
gates = lambda i, f, g, o: ends(o, f * c + i * g)
from_z = lambda z: gates(*(a(part) for a, part in zip((sigmoid, sigmoid, np.tanh, sigmoid), np.split(z, 4, axis=1))))
dz = np.concatenate([dzi, dzf, dzg, dzo], axis=1)
assert scoreboard(
    ("t = tanh(c)", dt, t, lambda t: (dh * o * t).sum()),
    ("new cell", dnew_all, new, lambda new: ends(o, new)),
    *[("i", di, i, lambda i: gates(i, f, g, o)), ("f", df, f, lambda f: gates(i, f, g, o))],
    *[("g", dg, g, lambda g: gates(i, f, g, o)), ("o", do, o, lambda o: gates(i, f, g, o))],
    *[("old cell", dc, c, lambda c: ends(o, f * c + i * g)), ("z", dz, z, from_z)],
)
*package, cache = cell_forward(z, c)  # the package's version
package += cell_backward(dh, dnew, cache)
assert all(relative_error(*both) < 1e-14 for both in zip((h, new, dz, dc), package))


# %% [markdown]
# ## Through time
#
# Unroll the loop: $n$ cells in a row with **the same** $W, U, b$. From the last step to the first:
#
# $$ dh_t = dy_t + dz_{t+1} U^\top \qquad (dz_t, dc_{t-1}) = \text{cell backward}(dh_t, dc_t) \qquad
#    dU = \sum_t h_{t-1}^\top dz_t \qquad dW = \sum_t x_t^\top dz_t $$
#
# Two messengers walk to the left, $dh$ and $dc$; both start at 0 after the last step. A matrix that is used again gets a sum.
# %%
def lstm_backward_slow(dy, x, W, U, b, keep=(1, 1)):  # [n,H], … -> dx, dW, dU, db of one history; keep: see below
    states, caches = [np.zeros((1, H))], []
    h = c = np.zeros((1, H))
    for x_t in x:
        h, c, cache = cell_forward(x_t[None] @ W + h @ U + b, c)
        states.append(h)
        caches.append(cache)
    dx, dW, dU, db = (np.zeros_like(a) for a in (x, W, U, b))
    dh = dc = np.zeros((1, H))
    for t in reversed(range(len(x))):
        dz, dc = cell_backward(dy[t : t + 1] + keep[0] * dh, keep[1] * dc, caches[t])
        dx[t], dh = dz[0] @ W.T, dz @ U.T
        dW, dU, db = dW + np.outer(x[t], dz), dU + states[t].T @ dz, db + dz[0]  # states[t] is the one BEFORE step t
    return dx, dW, dU, db


dy = rng.standard_normal((n, H))
dx, dW, dU, db = lstm_backward_slow(dy, x, W, U, b)
whole = lambda _: (dy * lstm_slow(x, W, U, b)).sum()
assert scoreboard(("x", dx, x, whole), ("W", dW, W, whole), ("U", dU, U, whole), ("b", db, b, whole))

# %% [markdown]
# ## Many histories without padding
#
# Steps must come one after the other, but histories may go side by side. Sorted by length, those that still run at step $t$ are
# always the first $A_t$: the state shrinks as histories end, and no row is computed for nothing. Below, the histories of 2, 0, 4
# and 1 behaviours are rows 0-1, none, 2-5 and 6. Backwards, step 0 takes the last behaviours.
# %%
offsets = np.array([0, 2, 2, 6, 7])
for backwards in (False, True):
    print("backwards" if backwards else "forwards ", *[rows.tolist() for rows in steps(offsets, backwards)])
assert [rows.tolist() for rows in steps(offsets, False)] == [[2, 0, 6], [3, 1], [4], [5]]
x7, dy7 = rng.standard_normal((7, D)), rng.standard_normal((7, H))
both = []
for backwards in (False, True):
    y, cache = lstm_forward(x7, W, U, b, offsets, backwards)
    both.append(y)
    package, ours = lstm_backward(dy7, cache), [np.zeros_like(a) for a in (x7, W, U, b)]
    for start, stop in zip(offsets[:-1], offsets[1:]):
        rows = np.arange(start, stop)[:: -1 if backwards else 1]
        assert relative_error(y[rows], lstm_slow(x7[rows], W, U, b).reshape(-1, H)) < 1e-14
        own = lstm_backward_slow(dy7[rows], x7[rows], W, U, b)
        ours[0][rows] = own[0]
        ours[1:] = [total + part for total, part in zip(ours[1:], own[1:])]
    assert all(relative_error(*pair) < 1e-13 for pair in zip(ours, package))
v, _ = ends_forward(np.concatenate(both, axis=1), offsets)  # forwards its last row, backwards its first; an empty one: zeros
assert (v[2] == np.concatenate([both[0][5], both[1][2]])).all() and not v[1].any()
length = np.minimum(1 + rng.geometric(1 / 8, size=16), 100)
print(f"16 histories of {length.min()} to {length.max()}: {length.sum()} cells packed, {16 * length.max()} padded")

# %% [markdown]
# ## With a pencil
#
# $\sigma(0) = ½$, and $\tanh(½ \ln 3) = (3-1)/(3+1) = ½$. Let $z = 0$ and the old cell be $\ln 3$: $i = f = o = ½$, $g = 0$, the
# new cell ½ ln 3, $h = ½ · ½ = ¼$. Let `dh` = 8 and `dnew` = 0. Then `do` = 4, `dt` = 4, by the cell 4 · (1 − ¼) = 3, and so
# `dg` = 1½, `df` = 3 ln 3, `di` = 0, `dc` = 1½. With σ' = ¼: `dz` = (0, ¾ ln 3, 1½, 1).
# %%
pencil_h, _, cache = cell_forward(np.zeros((1, 4)), np.array([[np.log(3)]]))
pencil = cell_backward(np.array([[8.0]]), np.zeros((1, 1)), cache)
print("pencil: h", pencil_h[0].round(3), "  dz", pencil[0][0].round(3), "  dc", pencil[1][0].round(3))
assert np.allclose(pencil[0], [[0, 0.75 * np.log(3), 1.5, 1]]) and np.allclose(pencil[1], 1.5) and np.allclose(pencil_h, 0.25)

# %% [markdown]
# ## Why gradients vanish, and forget bias 1
#
# Look at the cell's own road: $dc_{t-1} = f_t \circ dc_t$. After $k$ steps the gradient has been multiplied by $k$ forget gates.
# With bias 0 a gate starts at $\sigma(0) = ½$: over ten behaviours a thousandth is left. With bias 1 it starts at 0.73, and 4 in
# 100 are left. So the package's LSTMs start with forget bias 1, and training moves it. (Attention needs **one** step for any
# distance.) In the picture gates scatter around σ(bias), and the wider ones carry what is left.
# %%
wide, far = 32, 40
start = [rng.standard_normal((far, wide)), *rng.standard_normal((2, wide, 4 * wide)) / np.sqrt(wide)]  # x, W, U
last, heard = np.zeros((far, wide)), {}
last[-1] = rng.standard_normal(wide)  # only the final state is used, as in the plain Bi-LSTM
for bias in (-1, 0, 1, 3):
    gates = np.repeat([0.0, bias, 0, 0], wide)
    dx_far, *_ = lstm_backward(last, lstm_forward(*start, gates, np.array([0, far]), False)[1])
    heard[bias] = np.linalg.norm(dx_far, axis=1)[::-1]  # by distance to the end
    print(f"forget bias {bias:2}: ten behaviours before the last, {heard[bias][10] / heard[bias][0]:.4f} of its gradient arrives")
assert np.all(np.diff([norms[10] / norms[0] for norms in heard.values()]) > 0)
with figure("20_bilstm", columns=2, size=(12, 4)) as (fig, axes):
    for (bias, norms), colour in zip(heard.items(), ("C3", "C1", "C0", "C2")):
        axes[0].semilogy(norms / norms[0], color=colour, label=f"forget bias {bias}")
        axes[0].semilogy(sigmoid(bias) ** np.arange(far), "--", lw=1, color=colour)
    axes[0].set(title="gradient of the final state by behaviour (dashed: σ(bias)ᵏ)", xlabel="k, behaviours before the last")
    axes[0].set(ylim=(1e-6, 20))
    axes[0].legend(loc="upper center", ncols=4, fontsize=8)
    order = np.sort(length)[::-1]
    axes[1].imshow(np.arange(order[0]) < order[:, None], cmap="Blues", aspect="auto", vmax=1.6)
    axes[1].set(title="16 histories by length: blue cells are computed,\nwhite ones are what padding adds", xlabel="step")
    axes[1].set(ylabel="history")

# %% [markdown]
# ## What people get wrong
# %%
for number, (lost, keep) in enumerate((("dh", (0, 1)), ("dc", (1, 0))), 1):  # one messenger does not arrive
    wrong = lstm_backward_slow(dy, x, W, U, b, keep)[0]
    print(f"{number}. {lost} from the step after lost: error {relative_error(wrong, dx):.2f}; its last row is right all the same")
    assert relative_error(wrong, dx) > 0.1 and relative_error(wrong[-1], dx[-1]) < 1e-14
one, _ = lstm_forward(x7, W, U, b, np.array([0, 7]), False)
print(f"3. offsets ignored, a stranger's memory is inherited: error {relative_error(one, both[0]):.2f}")
x7[2] += 1  # 4. the first behaviour of rows 2-5 changes: does the backwards state that is read hear of it?
change = np.abs(lstm_forward(x7, W, U, b, offsets, True)[0] - both[1]).max(1)
print(f"4. backwards, the final state is in the FIRST row: it changes by {change[2]:.2f}, that in the last by {change[5]:.0f}")
assert relative_error(one, both[0]) > 0.05 and change[2] > 0 and change[5] == 0

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 20`: the cell backward, then a bug hunt through time.
# %%
print("lesson 20 done: the cell has two uses, the state has two uses, U gets a sum; forget gates decide how far a gradient goes")
