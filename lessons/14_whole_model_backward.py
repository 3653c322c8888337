# %% [markdown]
# # Lesson 14. The whole model, backward: (1) to (8) in one chain
#
# *Before it: lessons 03 to 13, each of which is one link. About 30 minutes.*
#
# $$ S \overset{(1)}{=} F_M(u) \quad h = F_M(q) \quad X = S + \mathrm{att}(S, S) \quad C \overset{(6)}{=} F_{self}(X) $$
# $$ x = \mathrm{att}(h, C) \quad e \overset{(7)}{=} F_{vanilla}(x) \quad f = h \cdot e + b \quad L \overset{(8)}{=} \ell(f) $$
#
# att$(x, m)$: attention of rows $x$ over the memory $m$ (lessons 06 to 09, 12); $F_M$: lesson 05; $F_{self}$, $F_{vanilla}$: 11;
# $b$: a number per object, its item bias, which gets $df$ itself. In the paper's (6) there is no
# "$S\, +$" (lesson 11). New is the bookkeeping: the order, and **what is used more than once**.

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
from atrank_np.layers.ranking import dot_backward, pointwise_backward, pointwise_forward
from atrank_np.models.common_space import Gradients
from atrank_np.models.ranker import ATTENTION, FEED_FORWARD
from atrank_np.models.variants import Printed
from atrank_np.optimizer import learning_rate
from atrank_np.parameters import has_unknown

rng = np.random.default_rng(14)
model, params, batch, _, _ = toy_problem(rng)  # three groups; histories of 0, 1, 4, 2 and 10 behaviours; float64
own = {layer: [params[f"{layer}.{n}"] for n in ATTENTION] for layer in ("self", "vanilla")}
net = {layer: [params[f"{layer}.{n}"] for n in FEED_FORWARD] for layer in ("self", "vanilla")}

# %% [markdown]
# ## Forward: the rest of the computation, from each station on
#
# Each line is the model from one station to the loss: together they are the whole model, read from the end.
# %%
S, h, bias, space_cache = model.space.forward(params, batch)  # (1)
attend = lambda layer, x, m, queries: attention_forward(x, m, *own[layer], queries, batch.offsets)
from_f = lambda f: pointwise_forward(f, batch.label)[0]
from_e = lambda h, e: from_f((h * e).sum(1) + bias)
from_x = lambda h, x: from_e(h, feed_forward_forward(x, *net["vanilla"])[0])
from_C = lambda h, C: from_x(h, attend("vanilla", h, C, batch.target_offsets)[0])
from_X = lambda h, X: from_C(h, feed_forward_forward(X, *net["self"])[0])
from_S = lambda h, S: from_X(h, S + attend("self", S, S, batch.offsets)[0])
scores, cache = model.forward(params, batch)
assert np.isclose(from_S(h, S), from_f(scores), rtol=1e-14)  # the package's model is this chain

# %% [markdown]
# ## Backward: the stations in reverse
#
# Each line hands one gradient to the station before it. Three places deserve a finger:
# * $h$ is used **twice**: as a factor of $f$, and as the query that looks at $C$. Its shares add up.
# * $S$ is used **three times**: its rows ask (queries), they are what is looked at (memory), and they are added to the answer.
#   $C$ is memory only, but inside `attention_backward` a memory has two uses again, as keys and as values.
# * $F_M$ and the tables are used by the history ($dS$) **and** by the targets ($dh$). They wait until both are known.
# %%
answer, self_attention = attend("self", S, S, batch.offsets)
X = S + answer
C, self_net = feed_forward_forward(X, *net["self"])
x, vanilla_attention = attend("vanilla", h, C, batch.target_offsets)
e, vanilla_net = feed_forward_forward(x, *net["vanilla"])
f = (h * e).sum(1) + bias

df = pointwise_backward(1.0, pointwise_forward(f, batch.label)[1])
dh_factor, de = dot_backward(df, (h, e))
dx, *d_net_vanilla = feed_forward_backward(de, vanilla_net)
dh_query, dC, *d_own_vanilla = attention_backward(dx, vanilla_attention)
dX, *d_net_self = feed_forward_backward(dC, self_net)
dS_query, dS_memory, *d_own_self = attention_backward(dX, self_attention)
dh, dS = dh_factor + dh_query, dX + dS_query + dS_memory
model.space.backward(dS, dh, df, space_cache, gradients := Gradients())
tables = gradients.total()

assert scoreboard(
    ("f (8)", df, f, from_f),
    ("e (7)", de, e, lambda e: from_e(h, e)),
    ("x", dx, x, lambda x: from_x(h, x)),
    ("C (6)", dC, C, lambda C: from_C(h, C)),
    ("X (5)", dX, X, lambda X: from_X(h, X)),
    ("S (1)", dS, S, lambda S: from_S(h, S)),
    ("h (1)", dh, h, lambda h: from_S(h, S)),
)

# %% [markdown]
# ## Collapsed: the package's `ATRank.backward` is these lines
# %%
theirs = model.backward(df, cache)
mine = dict(zip([f"self.{n}" for n in ATTENTION + FEED_FORWARD], d_own_self + d_net_self)) | tables
mine |= dict(zip([f"vanilla.{n}" for n in ATTENTION + FEED_FORWARD], d_own_vanilla + d_net_vanilla))
as_array = lambda gradients, name: dense(gradients[name], params[name].shape)
assert set(mine) == set(theirs) == set(params)
assert all(relative_error(as_array(mine, name), as_array(theirs, name)) < 1e-14 for name in params)
to_the_letter, _ = Printed(model.space, model.K).forward(params, batch)  # (6) as printed
assert np.isclose(from_X(h, answer), from_f(to_the_letter), rtol=1e-14)

# %% [markdown]
# ## The proof for all parameters: random directions
#
# A real model has millions of parameters; a numeric derivative for each is out of reach. Take a random direction $v$ instead: the
# derivative of the loss along $v$ must be $\langle g, v \rangle$. Two forward passes judge the whole array: to pass, a fault
# would have to be orthogonal to a $v$ that was drawn after it was made.
# %%
loss_of = lambda _: (lambda scores, cache: (from_f(scores), cache))(*model.forward(params, batch))
checks = []
for name, w in params.items():
    g, known = as_array(theirs, name), slice(1, None) if has_unknown(name) else slice(None)  # row `unknown` is never trained
    checks.append(check_directions(name, loss_of, w[known], g[known], rng, count=2))
print(f"{len(checks)} parameters, worst error along a random direction: {max(c.error for c in checks):.1e}")
assert all(c.ok for c in checks), "\n".join(map(str, checks))

# %% [markdown]
# ## With a pencil
#
# One weight $w = 2$ sees a behaviour 3 and a target 5: $S = 2·3 = 6$, $h = 2·5 = 10$, $f = S h = 60$. The history's road gives
# $dw = h · 3 = 30$, the target's road gives $S · 5 = 30$: together 60. True, for $f = 15 w^2$ and $f' = 30 w = 60$.
# And rows: the history uses the rows 2 and 4 of a table, the target uses row 2 as well.
# %%
pencil = Gradients()
pencil.add("w.W", np.array([10.0 * 3]))
pencil.add("w.W", np.array([6.0 * 5]))
pencil.add("table.item", Rows(np.array([2, 4]), np.array([[1.0], [10]])))
pencil.add("table.item", Rows(np.array([2]), np.array([[100.0]])))
dw, rows = pencil.total().values()
print("pencil: dw", dw, "  rows", rows.ids, rows.values[:, 0])
assert dw == 60 and rows.ids.tolist() == [2, 4] and rows.values.tolist() == [[101], [10]]

# %% [markdown]
# ## Does it learn? Twenty samples by heart
#
# Before any real data: a model that cannot learn 20 samples by heart has a fault. It starts at $\ln 2 = 0.693$, the loss of
# knowing nothing ($\sigma(f) = ½$ for all), and must come near 0.
# %%
groups = model.space.groups
twenty = random_batch(rng, groups, [3, 5, 2, 4, 6, 1, 3, 2, 5, 4], [2] * 10)
pairs = [rng.permutation(np.arange(1, groups[g].objects))[:2] for g in twenty.target_group[::2]]
twenty = twenty._replace(target_object=np.concatenate(pairs).astype(np.int32))
wide = toy_problem(np.random.default_rng(0), width=24, spaces=3, learning_rate=1.0)


def learn(never=(), steps=160):
    """The losses of training on the 20 samples; parameters whose name starts with `never` are left as they are."""
    backend, losses = NumpyBackend(wide.model, wide.model.init(1, dense=24**-0.5, table=0.3), wide.config), []
    kept = {n: w.copy() for n, w in backend.params.items() if n.startswith(tuple(never))}
    for step in range(steps):
        losses.append(backend.train_step(twenty, learning_rate(wide.config, step, steps)))
        for name, w in kept.items():
            backend.params[name][...] = w
    return losses


losses, crippled = learn(), learn(never=("self.W", "self.P", "self.Q"))
print(f"20 samples: the loss starts at {losses[0]:.4f} (ln 2 = {np.log(2):.4f}) and ends at {losses[-1]:.4f}")
assert abs(losses[0] - np.log(2)) < 0.02 and losses[-1] < 0.05

# %% [markdown]
# ## The picture: every forward arrow has its twin that goes back
# %%
with figure("14_whole_model", columns=2, size=(12.5, 4.6)) as (fig, axes):
    place = {"u": (0, 0), "S": (1, 0), "X": (2, 0), "C": (3, 0), "x": (4, 1), "e": (5, 1), "f": (6, 2), "L": (7, 2)}
    place |= {"q": (0, 2), "h": (1, 2)}
    roads = "u-S:F_M q-h:F_M S-X:S+att X-C:F_self C-x:memory h-x:query x-e:F_vanilla e-f: h-f:factor f-L:(8)"
    for road in roads.split():
        (start, end), word = road.split(":")[0].split("-"), road.split(":")[1]
        (x0, y0), (x1, y1) = place[start], place[end]
        for colour, a, b in (("0.55", start, end), ("C3", end, start)):
            style = dict(arrowstyle="->", color=colour, connectionstyle="arc3,rad=0.13", shrinkA=11, shrinkB=11)
            axes[0].annotate("", place[b], place[a], arrowprops=style)
        axes[0].text((x0 + x1) / 2, (y0 + y1) / 2 + 0.14, word, ha="center", fontsize=8.5, bbox=dict(fc="w", ec="none", pad=1))
    for name, (x0, y0) in place.items():
        box = dict(boxstyle="circle", fc="#ffe9a8" if name in "Sh" else "w")
        axes[0].text(x0, y0, name, ha="center", va="center", fontsize=12, bbox=box)
    axes[0].text(1, -0.45, "three uses: asks, is looked at, is added", ha="center", fontsize=9)
    axes[0].text(1, 2.32, "two uses: query, and factor", ha="center", fontsize=9)
    axes[0].text(0, 1, "the same F_M and tables:\ndW from dS plus dW from dh", ha="center", va="center", fontsize=9, color="C3")
    axes[0].set(xlim=(-0.9, 7.4), ylim=(-0.7, 2.6), title="grey: forward; red: backward. Yellow: several uses, gradients add")
    axes[0].axis("off")
    axes[1].semilogy(losses, label="all gradients")
    axes[1].semilogy(crippled, "--", label="self-attention never trained: it falls all the same")
    axes[1].axhline(np.log(2), color="0.5", ls=":")
    axes[1].text(len(losses), np.log(2) * 1.06, "ln 2: knows nothing", ha="right", fontsize=9)
    axes[1].set(title="twenty samples by heart: the loss", xlabel="step")
    axes[1].legend(loc="lower left")

# %% [markdown]
# ## What people get wrong
# %%
model.space.backward(dS, 0 * dh, df, space_cache, half := Gradients())  # 1. one of two uses: only the history's road
print(f"1. F_M without the targets' road: error {relative_error(half.total()['F_M.items.W'], tables['F_M.items.W']):.2f}")
cache_moved = feed_forward_forward(x, *(moved := [w.copy() for w in net["vanilla"]]))[1]  # 2. updating while going backward:
[np.subtract(w, 0.5 * g, out=w) for w, g in zip(moved, d_net_vanilla)]  # in place, and the cache holds these very arrays
stale = attention_backward(feed_forward_backward(de, cache_moved)[0], vanilla_attention)[0]
print(f"2. F_vanilla updated before its dx was taken: dh_query is off by {relative_error(stale, dh_query):.2f}")
print(f"3. 'the loss falls, so the gradients are right': with no self-attention trained it falls to {crippled[-1]:.4f} too")
assert relative_error(stale, dh_query) > 0.01 and crippled[-1] < 0.05

# %% [markdown]
# ## Your turn: `python -m lessons.exercises check 14`: a small model whose matrix is used twice, and a bug hunt.
# %%
print("lesson 14 done: backward is the chain in reverse; whatever is used twice gets the sum; 20 samples learned by heart")
