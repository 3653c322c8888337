# %% [markdown]
# # Lesson 14. The whole model, backward: (1) to (8) in one chain
#
# *Before it: lessons 03 to 13; each of them is one link of the chain. About 45 minutes.*
#
# All layers are derived. To train the model we need the gradient of every parameter, and that is the chain of all their
# backward passes, from the loss (8) back to the embedding tables. No new derivative is needed. New is the bookkeeping: the
# order, and **what is used more than once**. That is where it is easy to make a mistake.
#
# **The conventions** are those of lesson 09: $dZ$ is $\partial L/\partial Z$ and has the shape of $Z$; F1, F2, … are the forward
# lines, and B8 is the way back through F8; `relative_error` is the largest difference divided by the largest entry;
# `scoreboard` takes rows (name, our gradient, array, rest of the computation as a function of that array), and compares with
# numeric derivatives. One thing is easier than in most lessons before: $L$ is the real loss (8), so no upstream gradient has to
# be made up.

# %%
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported: small products lose by more threads
import numpy as np
from _common import figure, scoreboard

from atrank_np.backend import NumpyBackend
from atrank_np.gradcheck import check_directions, dense, random_batch, relative_error, toy_problem
from atrank_np.layers.attention import attention_backward, attention_forward
from atrank_np.layers.embedding import Rows
from atrank_np.layers.feedforward import feed_forward_backward, feed_forward_forward
from atrank_np.layers.ranking import dot_backward, dot_forward, pointwise_backward, pointwise_forward
from atrank_np.models.gradients import Gradients
from atrank_np.models.ranker import ATTENTION, FEED_FORWARD
from atrank_np.models.variants import Printed
from atrank_np.parameters import has_unknown

# %% [markdown]
# ## The idea, with numbers that fit in the head
#
# A model with one parameter, $w = 2$. It maps a behaviour 3 to $S = 2 · 3 = 6$ and a target 5 to $h = 2 · 5 = 10$, and the
# score is $f = S h = 60$. Take $L = f$.
#
# Backward: $dS = h = 10$ and $dh = S = 6$. By its use in $S$, $w$ gets $dS · 3 = 30$; by its use in $h$ it gets $dh · 5 = 30$.
# Together $dw = 60$. Is it true? $f = 3w · 5w = 15 w^2$, and the derivative $30 w$ is 60. Each use alone gives half of it.
#
# In the real model $w$ is $F_M$ and the embedding tables: they serve the behaviours of the history and the targets. The package
# has one place where such gradients meet, `Gradients`. For a table it keeps rows: the history uses the rows 2 and 4, the target
# row 2 as well, so row 2 gets the sum of both.
# %%
pencil = Gradients()
pencil.add("w.W", np.array([10.0 * 3]))  # from the history
pencil.add("w.W", np.array([6.0 * 5]))  # from the target
pencil.add("table.item", Rows(np.array([2, 4]), np.array([[1.0], [10.0]])))
pencil.add("table.item", Rows(np.array([2]), np.array([[100.0]])))
total = pencil.total()
print("dw", total["w.W"], "  rows", total["table.item"].ids, total["table.item"].values[:, 0])
assert total["w.W"] == 60
assert total["table.item"].ids.tolist() == [2, 4] and total["table.item"].values.tolist() == [[101], [10]]

# %% [markdown]
# ## The equations
#
# $$ S \overset{(1)}{=} F_M(u) \quad h = F_M(q) \quad X = S + \mathrm{att}(S, S) \quad C \overset{(6)}{=} F_{self}(X) $$
# $$ x = \mathrm{att}(h, C) \quad e \overset{(7)}{=} F_{vanilla}(x) \quad f = h \cdot e + b \quad L \overset{(8)}{=} \ell(f) $$
#
# $\mathrm{att}(rows, memory)$ is an attention: the rows ask, the memory gives keys and values (09, 12). Each of the two
# attentions has its own parameters. The other letters, and what they were called before:
#
# | here | what it is | shape | before |
# |---|---|---|---|
# | $u$, $q$ | embeddings of the behaviours, of the targets | a row each | $u$ (03, 04). In 12, $q$ was a number; now it is $T$ |
# | $S$, $h$ | both after $F_M$, a perceptron for each group of objects | $[N, D]$, $[T, D]$ | the same (05, 09, 12) |
# | $X$, $C$ | before and after the block $F_{self}$ | $[N, D]$ | the same (11) |
# | $x$ | what vanilla attention gives | $[T, D]$ | $c$ in 12, where $x$ were the scores |
# | $e$ | $x$ after the block $F_{vanilla}$: the user, seen by each target | $[T, D]$ | the same (12) |
# | $b$ | the item bias: a number for each object; $b_t$ is the one of target $t$ | $[T]$ | new |
# | $f$, $\ell$ | the scores, and the loss as a function of them | $[T]$ | the same (13) |
#
# All histories of a batch lie one below the other: $N$ behaviours and $T$ targets together. ($S +$ in $X$ is our reading of the
# paper; as printed, (6) has $X = \mathrm{att}(S, S)$. See lesson 11.)
#
# ## Who uses what?
#
# This table is the whole lesson. Each use gives one summand of the gradient.
#
# | array | used in | summands that we add |
# |---|---|---|
# | $f$, $e$, $x$, $X$ | the next line only | one |
# | $b$ | $f$ | one |
# | $C$ | $\mathrm{att}(h, C)$ as memory | one: $dC^{memory}$ |
# | $h$ | $\mathrm{att}(h, C)$ as query; $f$ as factor | two |
# | $S$ | $\mathrm{att}(S, S)$ as query and as memory; $X$ as summand | three |
# | $F_M$, tables | each behaviour and target that they serve | two, from history and targets; each is a sum over its rows |
# | item bias | each target that it serves | one, a sum over the rows |
# | parameters of `self`, `vanilla` | their own layer | one; the sum over the rows is taken inside the layer's backward |
#
# A memory is used twice, as key and as value. `attention_backward` adds these two inside. So the three of $S$ are the four uses
# of lesson 09's residual layer: query, key and value, summand.
#
# And row by row? $F_M$, the blocks and $f$ work on each row alone. Only att mixes rows: $S_i$ is key and value for **every**
# query of its history. So row $i$ of $dS^{memory}$ is a sum over these queries, which `attention_backward` takes too. In the
# same way row $j$ of $dC$ is a sum over the targets of its history. A row $h_t$ is the query and the factor of target $t$
# alone.
#
# ## Forward
#
# A small model with three groups of objects, and histories of 0, 1, 4, 2 and 10 behaviours, in float64. Its parameters are
# random and large, so that no gradient is near 0. (So its loss is far from ln 2, where a model with small ones starts.) All
# layers come from the package; we only call them one after the other.
# %%
rng = np.random.default_rng(14)
model, params, batch, _, _ = toy_problem(rng)
own, net = {}, {}
for layer in ("self", "vanilla"):
    own[layer] = [params[f"{layer}.{name}"] for name in ATTENTION]  # P.W, P.b, W, Q.W, Q.b
    net[layer] = [params[f"{layer}.{name}"] for name in FEED_FORWARD]  # F.W1, F.b1, F.W2, F.b2, F.gain, F.bias

S, h, bias, space_cache = model.space.forward(params, batch)  # F1 (1): [N,D], [T,D], [T]
answer, self_cache = attention_forward(S, S, *own["self"], batch.offsets, batch.offsets)  # F2 (2) to (5)
X = S + answer  # F3 [N,D]
C, self_net_cache = feed_forward_forward(X, *net["self"])  # F4 (6) [N,D]
x, vanilla_cache = attention_forward(h, C, *own["vanilla"], batch.target_offsets, batch.offsets)  # F5 [T,D]
e, vanilla_net_cache = feed_forward_forward(x, *net["vanilla"])  # F6 (7) [T,D]
dot, dot_cache = dot_forward(h, e)
f = dot + bias  # F7 [T]
L, loss_cache = pointwise_forward(f, batch.label)  # F8 (8)
scores, cache = model.forward(params, batch)
assert np.allclose(f, scores, rtol=1e-12)  # the package's model is this chain
print(f"{len(S)} behaviours in {len(batch.offsets) - 1} histories, {len(f)} targets, loss {L:.4f}")


# %% [markdown]
# ## B8 and B7. From the loss to the scores, and to both factors
#
# $df = (\sigma(f) - y)/T$ (lesson 13). In $f_t = \sum_j h_{tj}\, e_{tj} + b_t$ each factor gets the other one, and the bias
# gets $df$ itself:
#
# $$ de_{tj} = df_t\, h_{tj} \qquad dh^{factor}_{tj} = df_t\, e_{tj} \qquad db_t = df_t $$
#
# $h$ has one more use, so we do not call this $dh$ yet. The check: `from_e` is the rest of the model as a function of $e$.
# %%
def from_f(f):
    loss, _ = pointwise_forward(f, batch.label)
    return loss


def from_e(e):
    return from_f((h * e).sum(1) + bias)


df = pointwise_backward(1.0, loss_cache)  # 1.0 is dL/dL
db = df
dh_factor, de = dot_backward(df, dot_cache)
assert scoreboard(("f (8)", df, f, from_f), ("b", db, bias, lambda bias: from_f(dot + bias)), ("e (7)", de, e, from_e))


# %% [markdown]
# ## B6. $F_{vanilla}$
#
# The block returns the gradient by its input, and those of its six parameters.
# %%
def from_x(x):
    e, _ = feed_forward_forward(x, *net["vanilla"])
    return from_e(e)


dx, *d_vanilla_net = feed_forward_backward(de, vanilla_net_cache)
assert scoreboard(("x", dx, x, from_x))


# %% [markdown]
# ## B5. Vanilla attention: the second summand of $dh$
#
# Now both uses of $h$ are known: $dh = dh^{factor} + dh^{query}$.
# %%
def from_C(C):
    x, _ = attention_forward(h, C, *own["vanilla"], batch.target_offsets, batch.offsets)
    return from_x(x)


def from_h(h):  # both uses: as query, and as factor
    x, _ = attention_forward(h, C, *own["vanilla"], batch.target_offsets, batch.offsets)
    e, _ = feed_forward_forward(x, *net["vanilla"])
    return from_f((h * e).sum(1) + bias)


dh_query, dC, *d_vanilla_attention = attention_backward(dx, vanilla_cache)
dh = dh_factor + dh_query
assert scoreboard(("C (6)", dC, C, from_C), ("h (1)", dh, h, from_h))


# %% [markdown]
# ## B4. $F_{self}$
#
# The same block as in B6, with its own parameters and its own cache. Here it runs over the $N$ behaviours, there over the $T$
# targets.
# %%
def from_X(X):
    C, _ = feed_forward_forward(X, *net["self"])
    return from_C(C)


dX, *d_self_net = feed_forward_backward(dC, self_net_cache)
assert scoreboard(("X", dX, X, from_X))


# %% [markdown]
# ## B3 and B2. The sum and self-attention: three summands of $dS$
#
# $X = S + answer$ hands $dX$ to both summands, unchanged. The attention sends back two parts: $S$ as query and $S$ as memory.
#
# $$ dS = dX + dS^{query} + dS^{memory} $$
# %%
def from_S(S):
    answer, _ = attention_forward(S, S, *own["self"], batch.offsets, batch.offsets)
    return from_X(S + answer)


dS_query, dS_memory, *d_self_attention = attention_backward(dX, self_cache)
dS = dX + dS_query + dS_memory
assert scoreboard(("S (1)", dS, S, from_S))

# %% [markdown]
# ## B1. $F_M$, the tables, the item bias
#
# This is the example from the beginning. They are used by the history and by the targets. So this step waits until $dS$
# **and** $dh$ are known. `space.backward` takes $dS$, $dh$ and $db$. For each group of objects it puts its rows of $dS$ and of
# $dh$ one below the other, and goes back through this group's $F_M$ and its embeddings once (lessons 05, 04, 03). So the
# matrix, `F_M.items.W` for the group `items`, gets its sum over behaviours and targets from one product. A table may serve
# several groups: `Gradients` adds what meets in one row of it.
# %%
gradients = Gradients()
model.space.backward(dS, dh, db, space_cache, gradients)
mine = gradients.total()
for layer, of_attention, of_net in (
    ("self", d_self_attention, d_self_net),
    ("vanilla", d_vanilla_attention, d_vanilla_net),
):
    for name, gradient in zip(ATTENTION + FEED_FORWARD, [*of_attention, *of_net], strict=True):
        mine[f"{layer}.{name}"] = gradient

# %% [markdown]
# ## The package's version
#
# `ATRank.backward` is these lines. The class `Printed` is the variant of ATRank that takes (6) exactly as it is printed: $X$ is
# the attention's answer alone, without $S\, +$. So its loss is our `from_X(answer)`.
# %%
theirs = model.backward(df, cache)
assert set(mine) == set(theirs) == set(params)
for name, w in params.items():
    assert relative_error(dense(mine[name], w.shape), dense(theirs[name], w.shape)) < 1e-12
printed_f, _ = Printed(model.space, model.K).forward(params, batch)
assert np.isclose(from_X(answer), from_f(printed_f), rtol=1e-12)


# %% [markdown]
# ## All parameters: random directions
#
# We checked the stations of the chain ($f$, $b$, $e$, $x$, $C$, $h$, $X$, $S$). What of the parameters? A real model has
# millions, too many for a numeric derivative of each. So draw a random direction $z$, an array of the parameter's shape, and
# move the whole parameter along it. By the chain rule the loss changes at the rate $\sum_i g_i z_i = \langle g, z \rangle$,
# where $g$ is the gradient. Two forward passes test all entries at once. A wrong gradient $\tilde g$ is overlooked only if
# $\langle \tilde g - g, z \rangle = 0$ (or so near to 0 that it is within the limit $10^{-7}$). For random numbers $z$, drawn
# without a look at $g$, an exact 0 has the probability 0. We take two directions for each parameter.
#
# The whole array moves, so the step is longer than with one entry, and the truncation error (lesson 02) is larger. That all
# errors stay below $10^{-7}$ is no luck: where one does not, `check_directions` measures again, by a formula with a far smaller
# truncation error. A wrong gradient stays wrong there.
# %%
def whole(_):  # the direction check moves the parameter in place; the cache tells it whether a relu has switched
    scores, cache = model.forward(params, batch)
    return from_f(scores), cache


checks = []
for name, w in params.items():
    g = dense(theirs[name], w.shape)
    if has_unknown(name):
        # Row 0 stands for unknown ids and is never trained: its gradient is set to 0, although the loss depends on it. So we
        # leave it out of the check.
        w, g = w[1:], g[1:]
    checks.append(check_directions(name, whole, w, g, rng, count=2))
assert all(check.ok for check in checks)
worst = max(checks, key=lambda check: check.error)
print(f"{len(checks)} parameters, the worst error along a random direction: {worst.error:.1e}, of {worst.name}")

# %% [markdown]
# ## Does it learn? Twenty samples by heart
#
# Before any real data: a model that cannot learn 20 samples by heart has a fault. We take a new model with small parameters. At
# the start it knows nothing, so $\sigma(f) \approx ½$ for all, and the loss is near $\ln 2 = 0.693$. It must come near 0.
#
# The samples are ten histories with two targets each, one positive and one negative, which must be two objects: nothing could
# learn that the same one is both. `NumpyBackend` holds the parameters. Its `train_step` is all of this lesson, forward and
# backward, and then each parameter moves against its gradient: $w \leftarrow w - rate \cdot dw$ (lesson 15).
#
# We try three starts. And as **a falling loss does not prove the gradients**, the same three with a self-attention that never
# learns, as if its gradients were all forgotten: after each step its parameters are put back.
# %%
draw_samples = np.random.default_rng(1)
wide = toy_problem(draw_samples, width=24, spaces=3)
groups = wide.model.space.groups
lengths, targets = [3, 5, 2, 4, 6, 1, 3, 2, 5, 4], [2] * 10  # of each history
twenty = random_batch(draw_samples, groups, lengths, targets)
objects = []
for group in twenty.target_group[::2]:  # one of each pair: both targets of a history are of the same group
    objects.append(draw_samples.permutation(np.arange(1, groups[group].objects))[:2])  # two that differ
twenty = twenty._replace(target_object=np.concatenate(objects).astype(np.int32))
STEPS, RATE = 160, 0.5
SELF_ATTENTION = "self.P.", "self.W", "self.Q."  # (2) to (5); the names of F_self begin with self.F.


def learn(seed, frozen=()):
    """The losses of 160 steps on the 20 samples; parameters whose names begin with one of `frozen` stay as they are."""
    start = wide.model.init(
        seed, dense=24**-0.5, table=0.3
    )  # standard deviations: of the matrices, for rows of 24; of the tables
    backend = NumpyBackend(wide.model, start, wide.config)
    kept = {}
    for name, w in backend.params.items():
        if name.startswith(frozen):
            kept[name] = w.copy()
    losses = []
    for _ in range(STEPS):
        losses.append(backend.train_step(twenty, RATE))
        for name, w in kept.items():
            backend.params[name][...] = w
    assert len(kept) == (5 if frozen else 0)  # P.W, P.b, W, Q.W, Q.b
    return losses


SEEDS = 1, 2, 3
all_trained, partly = [], []
for seed in SEEDS:
    all_trained.append(learn(seed))
    partly.append(learn(seed, SELF_ATTENTION))
    print(f"seed {seed}: from {all_trained[-1][0]:.3f} to {all_trained[-1][-1]:.4f}; self-attention frozen: {partly[-1][-1]:.4f}")
    assert abs(all_trained[-1][0] - np.log(2)) < 0.05
    assert all_trained[-1][-1] < 0.05  # learned by heart
    assert partly[-1][-1] < 0.05  # and so is this, though all gradients of one layer are missing

# %% [markdown]
# ## The picture
#
# Left: every forward arrow (grey) has a backward arrow (red). The yellow ones have several uses: several red arrows end there,
# and their gradients add up. The node att is self-attention (F2). Vanilla attention has no node: its two arrows, query and
# memory, go to x.
#
# Right: the losses. With a frozen self-attention they end about as low: the rest of the model is large enough for
# twenty samples. The spikes are steps that were too long at their place (lesson 15).
# %%
PLACES = {
    "u": (0, 0),
    "S": (1.6, 0),
    "att": (2.9, -1.1),
    "X": (4.3, 0),
    "C": (5.2, 0),
    "x": (5.8, 1),
    "e": (6.8, 1),
    "f": (7.6, 2),
    "L": (8.6, 2),
    "q": (0, 2),
    "h": (1.6, 2),
    "F_M": (0.8, 1),
    "S = F_M(u)": (0.8, 0),  # where the parameters of F_M act: no node, the middle of an arrow
    "h = F_M(q)": (0.8, 2),
}
ROADS = (  # from, to, words, how far the road bends
    ("u", "S", "", 0),
    ("q", "h", "", 0),
    ("F_M", "S = F_M(u)", "", 0),
    ("F_M", "h = F_M(q)", "", 0),
    ("S", "att", "query", 0.45),
    ("S", "att", "memory", -0.35),
    ("S", "X", "summand", 0),
    ("att", "X", "summand", 0),
    ("X", "C", "F_self", 0),
    ("C", "x", "memory", 0),
    ("h", "x", "query", 0),
    ("x", "e", "F_vanilla", 0),
    ("e", "f", "factor", 0),
    ("h", "f", "factor", 0),
    ("f", "L", "(8)", 0),
)
with figure("14_whole_model", columns=2, size=(13, 5)) as (fig, axes):
    draw, curves = axes
    for start, end, words, bend in ROADS:
        for colour, a, b, side in (("0.55", start, end, 0.1 + bend), ("C3", end, start, 0.1 - bend)):
            style = dict(arrowstyle="->", color=colour, connectionstyle=f"arc3,rad={side}", shrinkA=11, shrinkB=11)
            draw.annotate("", PLACES[b], PLACES[a], arrowprops=style)
        middle = np.add(PLACES[start], PLACES[end]) / 2
        draw.text(
            *(middle + [-bend, 0.17 - 0.8 * max(bend, 0)]),
            words,
            ha="center",
            fontsize=8.5,
            bbox=dict(fc="w", ec="none", pad=1),
        )
    for name, place in PLACES.items():
        if "=" not in name:
            colour = "#ffe9a8" if name in ("S", "h", "F_M") else "w"
            draw.text(*place, name, ha="center", va="center", fontsize=11, bbox=dict(boxstyle="circle", fc=colour))
    draw.text(1.2, 1, "and the tables serve u and q:\ndW from dS plus dW from dh", va="center", fontsize=9)
    draw.text(0.6, -0.8, "three uses:\nquery, memory,\nsummand", ha="center", fontsize=9)
    draw.text(1.6, 2.4, "two uses: query and factor", ha="center", fontsize=9)
    draw.set(xlim=(-0.4, 9), ylim=(-1.4, 2.7), title="grey: forward; red: backward; yellow: several uses")
    draw.axis("off")
    for i, seed in enumerate(SEEDS):
        curves.semilogy(all_trained[i], color=f"C{i}", lw=1.2, label=f"seed {seed}, all gradients")
        curves.semilogy(partly[i], "--", color=f"C{i}", lw=1.2, label=f"seed {seed}, self-attention frozen")
    curves.axhline(np.log(2), color="0.5", ls=":")
    curves.text(STEPS, np.log(2) * 1.08, "ln 2: knows nothing", ha="right", fontsize=9)
    curves.set(title="twenty samples by heart, three starts", xlabel="step", ylabel="loss")
    curves.legend(loc="lower left")

# %% [markdown]
# ## What people get wrong
# %%
half = Gradients()  # 1. F_M and the tables trained by the history only
model.space.backward(dS, 0 * dh, db, space_cache, half)
error = relative_error(half.total()["F_M.items.W"], mine["F_M.items.W"])
print(f"1. F_M without the targets' share: error {error:.2f}")
assert error > 0.01

error = relative_error(dh_query, dh)  # 2. h as query only
print(f"2. dh without its use as factor: error {error:.2f}")
assert error > 0.1

moved = [w.copy() for w in net["vanilla"]]  # 3. parameters changed before the backward pass is through
_, moved_cache = feed_forward_forward(x, *moved)  # the cache holds the very arrays of `moved`
for w, gradient in zip(moved, d_vanilla_net, strict=True):
    w -= 0.5 * gradient  # in place: now the cache holds the new parameters
stale, *_ = feed_forward_backward(de, moved_cache)
print(f"3. F_vanilla updated before its dx was taken: error {relative_error(stale, dx):.2f}")
assert relative_error(stale, dx) > 0.01

print("4. 'the loss falls, so the gradients are right': the frozen self-attention above, three starts out of three")

# %% [markdown]
# ## Your turn
#
# In the exercise one matrix serves at **three** places, the third time transposed, as in models that share their first and
# their last matrix. Make the table "who uses what" first. Then a bug hunt in a whole small model.
# `python -m lessons.exercises check 14` (from the repository's root).
# %%
print("lesson 14 done: backward is the chain in reverse; whatever is used several times gets the sum; 20 samples by heart")
