# %% [markdown]
# # Lesson 02. What a derivative is, and how to prove one
#
# *Before it: school calculus (the derivative of $x^2$, the chain rule). About 25 minutes.*
#
# Every backward pass of this project is derived by hand, so every one could be wrong. This lesson builds the instrument
# that finds out. A derivative says how much a number $f(x)$ changes if $x$ moves a little:
#
# $$ f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x)}{h} \quad \text{and, if } f \text{ is smooth at } x, \quad
#    f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x-h)}{2h} $$
#
# A computer cannot take the limit, but it can take a small $h$ in the second quotient, the **central difference**. It needs no
# calculus at all, only $f$. That makes it slow, and a judge that no wrong derivation can bribe.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import LIMIT, STEP, derivative, numeric_gradient, relative_error
from atrank_np.layers.feedforward import layer_norm_backward, layer_norm_forward
from atrank_np.layers.ranking import sigmoid, softplus

# %% [markdown]
# ## With a pencil
#
# $f(x) = x^2$ at 3 with a huge $h = 1$: $(4^2 - 2^2)/2 = (16 - 4)/2 = 6$, the exact derivative $2x$.
# $f(x) = x^3$: $(4^3 - 2^3)/2 = (64 - 8)/2 = 28$, and the derivative is $3x^2 = 27$. Too large by 1, which is $h^2$.
# %%
central = lambda f, x, h: (f(x + h) - f(x - h)) / (2 * h)
print("x² at 3, h = 1:", central(lambda x: x**2, 3, 1), "  x³:", central(lambda x: x**3, 3, 1))
assert central(lambda x: x**2, 3, 1) == 6 and central(lambda x: x**3, 3, 1) == 28

# %% [markdown]
# ## How small is a small h?
#
# Taylor's series says what the difference leaves over. The even terms cancel, so the first that stays is the third:
#
# $$ \frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots $$
#
# This is the **truncation error**: $h$ ten times smaller, error a hundred times smaller. The one-sided quotient
# $(f(x+h) - f(x))/h$ keeps the second term, $\frac{h}{2} f''$: only ten times smaller.
#
# Against it stands **rounding**. A float64 holds 16 digits; $f(x+h)$ and $f(x-h)$ agree in most of them, and the difference
# keeps what is left. The quotient's error is about $10^{-16} |f| / h$: ten times *larger* for each tenth of $h$.
# %%
x0 = 0.7
exact = sigmoid(x0)  # softplus(x) = log(1 + e^x) has the derivative σ(x): the loss (8) is made of it
steps = 10.0 ** np.arange(-13, 0.1, 0.25)
two_sided = np.array([abs(central(softplus, x0, h) - exact) for h in steps])
one_sided = np.array([abs((softplus(x0 + h) - softplus(x0)) / h - exact) for h in steps])
with figure("02_error_versus_h", size=(8, 4.6)) as (fig, axes):
    axes.loglog(steps, one_sided, "s-", ms=4, color="C1", label="one-sided (f(x+h) − f(x)) / h")
    axes.loglog(steps, two_sided, "o-", ms=4, color="C0", label="central (f(x+h) − f(x−h)) / 2h")
    third = abs(exact * (1 - exact) * (1 - 2 * exact))  # f''' of softplus
    axes.loglog(steps, third * steps**2 / 6, "--", color="C0", lw=1, label="truncation h² |f'''| / 6")
    axes.loglog(steps, 1e-16 / steps, "--", color="0.4", lw=1, label="rounding 10⁻¹⁶ / h")
    axes.axvline(STEP, ymax=0.86, color="C3", lw=1)
    axes.text(STEP * 1.25, 2e-15, "the project's h = 1e-5", color="C3")
    axes.text(1e-12, 4e-9, "h too small:\nthe digits cancel", ha="center", fontsize=9)
    axes.text(0.2, 1e-7, "h too large:\nthe curve bends", ha="center", fontsize=9)
    axes.set(ylim=(1e-15, 1), xlabel="h", ylabel="error of the derivative", title="log(1 + eˣ) at 0.7, float64")
    axes.legend(loc="upper center", fontsize=8, ncols=2)
    axes.grid()
best = steps[two_sided.argmin()]
print(f"smallest error {two_sided.min():.0e} at h = {best:.0e}; h = 1e-5: {two_sided[np.isclose(steps, 1e-5)][0]:.0e}")
assert 1e-7 < best < 1e-3 and two_sided[np.isclose(steps, STEP)] < 1e-9  # h = 1e-5 is a safe middle


# %% [markdown]
# ## From numbers to arrays
#
# A loss is one number, but it depends on arrays. Its gradient has the array's shape: entry $i$ is the derivative when only
# entry $i$ moves. A direction $v$ may move many at once; then the derivative is $\sum_i \mathrm{gradient}_i\, v_i$.
# %%
def numeric_slow(f, x, h=1e-5):  # x: [N,D] -> [N,D]
    gradient = np.zeros_like(x)
    for n in range(x.shape[0]):
        for d in range(x.shape[1]):
            up, down = x.copy(), x.copy()
            up[n, d] += h
            down[n, d] -= h
            gradient[n, d] = (f(up) - f(down)) / (2 * h)
    return gradient


rng = np.random.default_rng(2)
x, v = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
f = lambda x: softplus(x).sum()
assert relative_error(numeric_slow(f, x), numeric_gradient(f, x)) < 1e-9  # the package's instrument is this loop
assert relative_error(numeric_slow(f, x), sigmoid(x)) < LIMIT  # and it confirms what calculus says
assert np.isclose(derivative(f, x, v), (sigmoid(x) * v).sum())

# %% [markdown]
# ## A layer has an array as output: the upstream gradient
#
# A layer $y = g(x)$ stands somewhere inside a model. What comes after it turns $y$ into the loss $L$; its backward pass is
# *given* $dy = \partial L/\partial y$ and must return $dx = \partial L/\partial x$:
#
# $$ dx_i = \sum_j dy_j\, \frac{\partial y_j}{\partial x_i} $$
#
# In the package each layer is a pair: `x_forward(…)` returns $y$ and a **cache**, what the way back will need, and
# `x_backward(dy, cache)` the gradients, `dx` for $\partial L/\partial x$ and so on, in the order of the inputs.
#
# To check a layer alone we invent the rest of the model: $L = \langle r, y\rangle = \sum_j r_j y_j$. Then $dy = r$
# exactly. Two atoms show the game: $s = \sigma(x) = 1/(1+e^{-x})$, then $y = x\,s$. Now `x` has two uses, and what flows
# back along both **adds up**. A **scoreboard** sets gradients beside numeric ones: name, gradient, array, and the loss as a
# function of that array.
# %%
s = sigmoid(x)
y = x * s
r = rng.standard_normal(y.shape)  # dy: random, and below you see why
ds = r * x  # y = x s, by s
dx = r * s + ds * s * (1 - s)  # y = x s, by x; plus s = σ(x), whose derivative is s (1 - s)
assert scoreboard(
    ("s = σ(x)", ds, s, lambda s: (r * (x * s)).sum()),
    ("x", dx, x, lambda x: (r * (x * sigmoid(x))).sum()),
)

# %% [markdown]
# ## Why r is random: a fault that ones cannot see
#
# A layer norm, a part of (6) and a later lesson, shifts and stretches each row to mean 0 and variance 1. Three terms make
# its backward pass; we drop the third. With an upstream of ones, the check looks at the *sum* of a row of `y`. But that
# sum is always 0, whatever `x` is: the true gradient is 0, and the faulty one is 0 as well. Random numbers have no such
# blind spot.
# %%
gain, bias = np.ones(5), np.zeros(5)


def without_third_term(dy, cache):
    normed, rstd, gain = cache
    dnormed = dy * gain
    return (dnormed - dnormed.mean(1, keepdims=True)) * rstd


_, cache = layer_norm_forward(x, gain, bias)
for name, dy in (("ones", np.ones_like(x)), ("random", r)):
    loss = lambda x, dy=dy: (dy * layer_norm_forward(x, gain, bias)[0]).sum()
    true, faulty = layer_norm_backward(dy, cache)[0], without_third_term(dy, cache)
    print(f"upstream {name}: largest true entry {np.abs(true).max():.1e}, largest faulty {np.abs(faulty).max():.1e}")
    print(" the whole backward and the faulty one:")
    assert scoreboard(("dx", true, x, loss))
    assert scoreboard(("dx, faulty", faulty, x, loss)) == (name == "ones")  # ones let the fault pass

# %% [markdown]
# ## The project's error
#
# $$ \mathrm{error} = \frac{\max_i |\mathrm{analytic}_i - \mathrm{numeric}_i|}
#    {\max(\max_i|\mathrm{analytic}_i|,\ \max_i|\mathrm{numeric}_i|)} \le 10^{-7} $$
#
# One number per array, every entry looked at, measured against the array's largest entry. Two arrays below $10^{-10}$ are
# both zero. Pencil: analytic (3, 4) against numeric (3, 5): the largest difference is 1, the largest entry 5: error 0.2.
# %%
assert relative_error(np.array([3.0, 4]), np.array([3.0, 5])) == 0.2

# %% [markdown]
# ## What people get wrong
# %%
h = 1e-13  # 1. "smaller is better"
tiny, ours = (abs(central(softplus, x0, h) - exact) for h in (h, STEP))
print(f"1. h = 1e-13: error {tiny:.0e};  h = 1e-5: {ours:.0e}")
assert tiny > 1e5 * ours

single = numeric_gradient(lambda x: float(softplus(x).sum(dtype=np.float32)), x.astype(np.float32))
print(f"2. the same check in float32: error {relative_error(single, sigmoid(x)):.0e}. It cannot judge: check in float64")
assert relative_error(single, sigmoid(x)) > 1e-4

small = numeric_gradient(lambda x: (x**2).sum(), np.array([1e-12, 3.0]))  # 3. an error per entry
print(
    f"3. the true gradient of Σx² is (2e-12, 6): error per entry {abs(small[0] / 2e-12 - 1):.0e}, the project's "
    f"{relative_error(small, np.array([2e-12, 6.0])):.0e}"
)
assert abs(small[0] / 2e-12 - 1) > 0.01 and relative_error(small, np.array([2e-12, 6.0])) < LIMIT

print("4. relu at its kink: left slope 0, right slope 1, central difference", central(lambda x: max(x, 0), 0.0, STEP))
assert central(lambda x: max(x, 0), 0.0, STEP) == 0.5  # neither: the package redraws the inputs if a relu is that close

# %% [markdown]
# ## Your turn
#
# Write the instrument, then hunt a bug with it: `python -m lessons.exercises check 02` (from the repository's root).
# %%
print("lesson 02 done: central differences with h = 1e-5, a random upstream gradient, error ≤ 1e-7 of the largest entry")
