# %% [markdown]
# # Lesson 02. Derivatives, and how to test them
#
# *Before it: Python with NumPy, and school calculus (the derivative of $x^2$, the chain rule). About 45 minutes.*
#
# A model learns from derivatives: for each of its numbers it must know how the loss changes if this number changes. In this
# project all these derivatives are worked out by hand. Whoever works by hand makes mistakes, and a wrong derivative seldom
# stops a program: the model trains, only worse. So before we derive anything we build the instrument that finds mistakes. It
# needs no calculus, only the function itself.
#
# The lesson also introduces the conventions that all later lessons use: $dZ$, the upstream gradient, $A \circ B$,
# `relative_error` and `scoreboard`.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.gradcheck import LIMIT, STEP, check_layer, numeric_gradient, relative_error
from atrank_np.layers.perceptron import relu_backward, relu_forward
from atrank_np.layers.ranking import sigmoid, softplus


# %% [markdown]
# ## The idea, with small numbers
#
# Take $f(x) = x^2$ at $x = 3$, where $f = 9$. Move $x$ by a small $h$, look how much $f$ has changed, and divide by $h$:
#
# * $h = 1$: $\ (16 - 9)/1 = 7$
# * $h = 0.1$: $\ (9.61 - 9)/0.1 = 6.1$
# * $h = 0.01$: $\ (9.0601 - 9)/0.01 = 6.01$
#
# The quotients approach 6, and calculus agrees: $f'(x) = 2x = 6$. We can do better if we move $x$ to both sides. Even with
# the huge $h = 1$, $\ (4^2 - 2^2)/2 = (16 - 4)/2 = 6$ exactly. For $x^3$ it is not exact, but close:
# $(4^3 - 2^3)/2 = (64 - 8)/2 = 28$, where the derivative is $3x^2 = 27$.
# %%
def one_sided(f, x, h):
    return (f(x + h) - f(x)) / h


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def square(x):
    return x**2


def cube(x):
    return x**3


for h in (1, 0.1, 0.01):
    print(f"x² at 3, h = {h}: one-sided {one_sided(square, 3, h):.4f}, to both sides {central(square, 3, h):.4f}")
assert central(square, 3, 1) == 6
assert central(cube, 3, 1) == 28

# %% [markdown]
# ## The equation
#
# A derivative is a limit. If $f$ is smooth at $x$, both quotients have the same one:
#
# $$ f'(x) = \lim_{h \to 0} \frac{f(x+h) - f(x)}{h} = \lim_{h \to 0} \frac{f(x+h) - f(x-h)}{2h} $$
#
# A computer cannot take a limit. It takes one small $h$ in the second quotient, which is called the **central difference**.
#
# ## How small must h be?
#
# Two errors work against each other.
#
# **Truncation.** Taylor's series writes $f(x+h)$ as $f + hf' + \frac{h^2}{2}f'' + \frac{h^3}{6}f''' + \dots$ In
# $f(x+h) - f(x-h)$ the even terms cancel, so the first term that is left beside $f'$ is the third:
#
# $$ \frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \dots $$
#
# Check it with $x^3$, where $f''' = 6$: with $h = 1$ the error is $1$, as above. With $h$ ten times smaller this error is a
# hundred times smaller. The one-sided quotient keeps the second term, $\frac{h}{2} f''$: ten times smaller only.
#
# **Rounding.** A float64 holds 16 digits. $f(x+h)$ and $f(x-h)$ have nearly all of them in common, and the difference keeps
# what is left. The quotient is wrong by about $10^{-16} |f| / h$: this error becomes *larger* as $h$ becomes smaller.
#
# Let us watch both. The function is $\log(1 + e^x)$, called softplus. Its derivative is $\sigma(x) = 1/(1 + e^{-x})$, by the
# chain rule: $e^x / (1 + e^x)$, and dividing both by $e^x$ gives it. We measure the derivative at 20 points, with several $h$.
# For each $h$ we print the median of the 20 errors, which is what a typical point sees.
# %%
points = np.random.default_rng(0).uniform(-2, 2, size=20)


def errors(quotient, h):  # a function such as `central` -> [20]
    return np.abs(quotient(softplus, points, h) - sigmoid(points))


def typical(quotient, h):
    return np.median(errors(quotient, h))


print("h         one-sided   central    (median error at 20 points)")
for h in (1e-1, 1e-2, 1e-5, 1e-9, 1e-13):
    print(f"{h:.0e}     {typical(one_sided, h):.0e}       {typical(central, h):.0e}")
assert 90 < typical(central, 1e-1) / typical(central, 1e-2) < 110  # a hundred times
assert 9 < typical(one_sided, 1e-1) / typical(one_sided, 1e-2) < 11  # ten times
assert typical(central, 1e-13) > 1e5 * typical(central, STEP)  # rounding
assert errors(central, STEP).max() < 1e-9  # STEP is the package's h, 1e-5: safe at every one of the points

# %% [markdown]
# In the picture both axes are logarithmic, so a power of $h$ is a straight line. Follow the blue curve from the right. It falls
# twice as steeply as the orange one. Near $h = 10^{-5}$ truncation has become smaller than rounding: there the curve turns, and
# to the left of it the curve rises beside the grey line. (It stays a little below: $10^{-16} |f| / h$ with $|f| = 1$ is a rough
# estimate.) The project uses $h = 10^{-5}$ everywhere: at the bottom of the valley, not too near to either side.
# %%
with figure("02_error_versus_h", size=(8, 4.6)) as (fig, axes):
    steps = 10.0 ** np.arange(-13, 0.1, 0.25)
    one = [typical(one_sided, h) for h in steps]
    two = [typical(central, h) for h in steps]
    axes.loglog(steps, one, "s-", ms=4, color="C1", label="one-sided (f(x+h) − f(x)) / h")
    axes.loglog(steps, two, "o-", ms=4, color="C0", label="central (f(x+h) − f(x−h)) / 2h")
    third = np.median(abs(sigmoid(points) * (1 - sigmoid(points)) * (1 - 2 * sigmoid(points))))  # f''' of softplus
    axes.loglog(steps, third * steps**2 / 6, "--", color="C0", lw=1, label="truncation h² |f'''| / 6")
    axes.loglog(steps, 1e-16 / steps, "--", color="0.4", lw=1, label="rounding, about 10⁻¹⁶ / h")
    axes.axvline(STEP, ymax=0.8, color="C3", lw=1)
    axes.text(STEP * 1.25, 2e-15, "the project's h = 1e-5", color="C3")
    axes.text(1e-11, 1e-9, "h too small:\nthe digits cancel", ha="center", fontsize=9)
    axes.text(0.2, 1e-8, "h too large:\nthe function bends", ha="center", fontsize=9)
    axes.set(ylim=(1e-15, 100), xlabel="h", ylabel="error of the derivative (median)")
    axes.set_title("softplus at 20 points, float64")
    axes.legend(loc="upper center", fontsize=8, ncols=2)
    axes.grid()


# %% [markdown]
# ## From numbers to arrays: what dZ means
#
# A loss $L$ is one number, but it depends on arrays. For an array $Z$ we write $dZ$ (in code `dZ`) for the derivative of $L$
# by $Z$ (textbooks say: with respect to $Z$). **$dZ$ has the shape of $Z$**, and its entry is
#
# $$ dZ_{ij} = \frac{\partial L}{\partial Z_{ij}}: $$
#
# how much $L$ grows, per unit, if only this one number of $Z$ grows a little. It is called the gradient of $L$ by $Z$. (So a
# $d$ in front of a name always means a derivative. A $d$ alone is a number: in later lessons, the length of some rows.)
#
# Example: $L = \sum_{ij} Z_{ij}^2$ with $Z = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$. Each entry stands in one term, so
# $dZ_{ij} = 2 Z_{ij}$, and $dZ = \begin{pmatrix} 2 & 4 \\ 6 & 8 \end{pmatrix}$. To measure it, we move one entry after the
# other; this is all that the package's `numeric_gradient` does.
# %%
def numeric_slow(f, Z, h=1e-5):  # Z: [N,D] -> [N,D]
    dZ = np.zeros_like(Z)
    for n in range(Z.shape[0]):
        for d in range(Z.shape[1]):
            up = Z.copy()
            up[n, d] += h
            down = Z.copy()
            down[n, d] -= h
            dZ[n, d] = (f(up) - f(down)) / (2 * h)
    return dZ


def sum_of_squares(Z):
    return (Z**2).sum()


small = np.array([[1.0, 2], [3, 4]])
print(numeric_slow(sum_of_squares, small).round(6))
assert np.allclose(numeric_slow(sum_of_squares, small), [[2, 4], [6, 8]])
assert np.allclose(numeric_slow(sum_of_squares, small), numeric_gradient(sum_of_squares, small))

# %% [markdown]
# ## When are two gradients equal?
#
# Never to the last digit, so we need one number for the difference. The project's is
#
# $$ \mathrm{error} = \frac{\max_i |\mathrm{analytic}_i - \mathrm{numeric}_i|}
#    {\max(\max_i|\mathrm{analytic}_i|,\ \max_i|\mathrm{numeric}_i|)} \le 10^{-7}: $$
#
# the largest difference, divided by the largest entry. In code it is `relative_error`. Example: (3, 4) against (3, 5) has the
# largest difference 1 and the largest entry 5, so the error is 0.2. (Two arrays with no entry above $10^{-10}$ count as
# zeros, with error 0.)
# %%
assert relative_error(np.array([3.0, 4]), np.array([3.0, 5])) == 0.2

# %% [markdown]
# ## The chain rule, and a number that is used twice
#
# Let $y = 3x + 1$ and $L = y^2$, at $x = 1$. So $y = 4$, $L = 16$. We go back from the end. If $y$ grows by a little, $L$
# grows by $2y = 8$ times as much: $dy = 8$. If $x$ grows by a little, $y$ grows by 3 times as much, so
# $dx = 3 \cdot dy = 24$.
#
# Now let $x$ have two uses: $y_1 = 2x$, $y_2 = x^2$, $L = y_1 y_2$, at $x = 3$. So $y_1 = 6$, $y_2 = 9$, $L = 54$. Back:
# $dy_1 = y_2 = 9$ and $dy_2 = y_1 = 6$. If $x$ grows a little, $y_1$ grows (by 2 per unit) *and* $y_2$ grows (by $2x = 6$ per
# unit). Both change $L$, and the changes add up: $dx = 2 \cdot 9 + 6 \cdot 6 = 54$. (Indeed $L = 2x^3$, with the derivative
# $6x^2 = 54$.) In general, if $L$ depends on $x$ through some numbers $y_1, y_2, \dots$:
#
# $$ dx = \sum_i dy_i\, \frac{\partial y_i}{\partial x} $$
#
# **A number that is used several times gets the sum of what comes back from its uses.** This is the rule that people forget
# most often.
#
# ## A layer alone: the upstream gradient
#
# A layer is a step inside a model: array in, array out, such as $y = g(x)$. What comes after it turns $y$ into $L$. The layer
# does not know what that is. It is *given* $dy$, the **upstream gradient**, and must return $dx$. In the package each layer
# is a pair of functions: `g_forward(x)` returns $y$ and a cache, which holds what the way back needs; `g_backward(dy, cache)`
# returns $dx$.
#
# To test a layer alone there must be a loss. We invent one. First we draw a number for each entry of $y$, at random, and keep
# these numbers fixed. Then $L$ is the sum over all entries of this number times $y_{ij}$. The derivative of $L$ by $y_{ij}$ is
# just the number drawn for it. So the drawn numbers *are* the upstream gradient, and from the start we call them $dy$:
# $L = \sum_{ij} dy_{ij}\, y_{ij}$. With $A \circ B$ for the product entry by entry (`A * B` in NumPy), $L$ is the sum of all
# entries of $dy \circ y$.
#
# ## A first layer, one rule at a time
#
# $y = x \circ \sigma(x)$, entry by entry; it is known as swish. We name the step in between:
#
# $$ s_{ij} = \sigma(x_{ij}) \quad (F1) \qquad\qquad y_{ij} = x_{ij}\, s_{ij} \quad (F2) $$
# %%
rng = np.random.default_rng(2)
x = rng.standard_normal((3, 5))
s = sigmoid(x)  # F1
y = x * s  # F2
dy = rng.standard_normal(y.shape)  # the upstream gradient


def loss(y):
    return (dy * y).sum()


# %% [markdown]
# We number the forward lines F1, F2, … and go back from the last one. B2 is the way back through F2; a line with two inputs
# gives two gradients, so there is a "B2, by s" and a "B2, by x".
#
# **B2, by s.** In F2 the factor beside $s_{ij}$ is $x_{ij}$. So $ds_{ij} = dy_{ij}\, x_{ij}$.
#
# We check each step as soon as we have it. `scoreboard` takes rows of four: a name, our gradient, the array it belongs to,
# and the rest of the computation as a function of this array, up to the number $L$. It moves every entry of the array by
# $10^{-5}$ to both sides, watches $L$, and prints the relative error from above. (`numeric_slow` moved an entry of a copy. The
# package's `numeric_gradient` and `scoreboard` move it in the array itself, and put it back. The result is the same.)
# %%
ds = dy * x  # B2, by s


def loss_from_s(s):
    return loss(x * s)


assert scoreboard(("s", ds, s, loss_from_s))

# %% [markdown]
# **B1, by x.** We need the derivative of $\sigma(x) = 1/(1 + e^{-x})$. Write $u = 1 + e^{-x}$, so $\sigma = 1/u$. Then
# $\sigma' = -u'/u^2 = e^{-x}/u^2$, and as $e^{-x} = u - 1$,
#
# $$ \sigma' = \frac{u - 1}{u^2} = \frac{1}{u} - \frac{1}{u^2} = s - s^2 = s\,(1 - s). $$
#
# So F1 gives $ds_{ij}\, s_{ij}(1 - s_{ij})$. But $x_{ij}$ has two uses: in F2 it is a factor beside $s_{ij}$, which gives
# $dy_{ij}\, s_{ij}$ ("B2, by x"). The sum:
#
# $$ dx_{ij} = ds_{ij}\, s_{ij}(1 - s_{ij}) + dy_{ij}\, s_{ij} $$
# %%
dx = ds * s * (1 - s) + dy * s  # B1 by x, and B2 by x


def loss_from_x(x):
    return loss(x * sigmoid(x))


assert scoreboard(("x", dx, x, loss_from_x))
print("and with one of the two uses forgotten:")
assert not scoreboard(("x, wrong", dy * s, x, loss_from_x))


# %% [markdown]
# ## Why the upstream gradient is random
#
# It would be simpler to take ones: then $L = \sum y$. But ones can hide a mistake. Take a layer that subtracts from each row
# its mean, $y_{ij} = x_{ij} - \frac{1}{D}\sum_p x_{ip}$, with $D$ numbers in a row. The row (1, 2, 6) becomes (−2, −1, 3). Now
# the *sum* of a row of $y$ is always 0, whatever $x$ is. With ones, $L$ is always 0, so the true gradient is 0. And each wrong
# backward pass that happens to give 0 looks right.
#
# What is the true one? $x_{ij}$ stands in $y_{ij}$ with the factor 1. It stands also in the mean of its row, so in every
# $y_{ip}$ of the row, with the factor $-\frac{1}{D}$. The uses add up:
#
# $$ dx_{ij} = dy_{ij} - \frac{1}{D} \sum_p dy_{ip} $$
#
# We compare it with a wrong one that takes the mean down the *columns* in place of the rows, for ten seeds.
# %%
def centre(x):
    return x - x.mean(1, keepdims=True)


def centre_backward(dy):
    return dy - dy.mean(1, keepdims=True)


def centre_backward_wrong(dy):
    return dy - dy.mean(0, keepdims=True)


def numeric_of(upstream, rows):
    def loss_of_rows(rows):
        return (upstream * centre(rows)).sum()

    return numeric_gradient(loss_of_rows, rows)


for seed in range(10):
    draw = np.random.default_rng(seed)
    rows = draw.standard_normal((4, 6))
    random = draw.standard_normal((4, 6))
    ones = np.ones((4, 6))
    assert relative_error(centre_backward(random), numeric_of(random, rows)) < LIMIT
    assert relative_error(centre_backward_wrong(random), numeric_of(random, rows)) > 0.05  # random numbers find the fault
    assert relative_error(centre_backward_wrong(ones), numeric_of(ones, rows)) == 0  # ones do not: 0 and 0
print("wrong axis: never found with ones, found ten times of ten with random numbers")

# %% [markdown]
# Two layers of the course have exactly this property: a softmax (lesson 07), whose rows sum to 1, and a layer norm (lesson
# 10), whose rows sum to 0.
#
# ## The package's version
#
# `check_layer` does all of this for a pair of functions: it draws the upstream gradient, measures every entry of every input,
# and returns a line for each. (The dictionary holds the inputs; the list names those that get a gradient.) Here for relu,
# $y = \max(x, 0)$. Its slope is 1 where $x > 0$ and 0 where $x < 0$, so $dx = dy \circ [x > 0]$. **$[\,\cdot\,]$ around a
# condition is 1 where it holds and 0 elsewhere**, in NumPy `(x > 0)`. As $y$ is positive exactly where $x$ is, $[y > 0]$ is the
# same. The package writes this, for then the cache needs only $y$.
# %%
relu_y, relu_cache = relu_forward(x)
assert np.array_equal(relu_backward(dy, relu_cache), dy * (relu_y > 0))
for check in check_layer(relu_forward, relu_backward, {"x": x}, ["x"], rng):
    print("relu:", check)
    assert check.ok


# %% [markdown]
# ## What people get wrong
#
# 1. **"A smaller h is better."** You saw the table above: at $10^{-13}$ the digits have cancelled.
# 2. **Checking in float32.** It holds 7 digits, so the quotient with $h = 10^{-5}$ is wrong from its second digit on. Check
#    in float64; afterwards compare a float32 result with the float64 one.
# 3. **An error for each entry, divided by that entry.** Where the true gradient is nearly 0, rounding alone makes a large
#    quotient. Divide by the array's largest entry.
# 4. **A kink.** At $x = 0$ relu has the slope 0 on the left and 1 on the right. The central difference says ½, which is
#    neither. The package notices if a relu is so near to its kink, and draws new numbers.
# 5. **An array of integers.** $3 + 10^{-5}$ is stored as 3: nothing moves.
# %%
def softplus_in_float32(x):
    return float(softplus(x.astype(np.float32)).sum(dtype=np.float32))


found = []
for seed in range(10):
    rows = np.random.default_rng(seed).standard_normal((3, 5))
    found.append(relative_error(numeric_gradient(softplus_in_float32, rows), sigmoid(rows)))
print(f"2. float32: error {min(found):.0e} to {max(found):.0e} in ten draws, for a right gradient")
assert min(found) > 1e-3

measured = numeric_gradient(sum_of_squares, np.array([1e-12, 3.0]))
exact = np.array([2e-12, 6.0])
print(f"3. per entry {abs(measured / exact - 1).max():.0e}, the project's {relative_error(measured, exact):.0e}")
assert abs(measured / exact - 1).max() > 0.01
assert relative_error(measured, exact) < LIMIT


def relu(x):
    return max(x, 0)


print("4. relu at 0: central difference", central(relu, 0.0, STEP))
assert central(relu, 0.0, STEP) == 0.5

integers = np.array([3, 4])
integers[0] = integers[0] + 1e-5  # stored without its fraction
print("5. 3 + 1e-5 in an array of integers:", integers[0])
assert integers[0] == 3

# %% [markdown]
# ## Your turn
#
# Extend the instrument to functions that return arrays, hunt a mistake with it, and derive a layer that is not in this
# lesson: `python -m lessons.exercises check 02` (from the repository's root).
# %%
print("lesson 02 done: central differences with h = 1e-5, a random upstream gradient, error ≤ 1e-7 of the largest entry")
