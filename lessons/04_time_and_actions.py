# %% [markdown]
# # Lesson 04. Time, action, and the sum u
#
# *Before it: lesson 03 (a row of a table gets the sum of what comes back from its uses). About 35 minutes.*
#
# Lesson 03 made a row of numbers of an object. But a behaviour is more than its object. Something viewed an hour ago says
# more about the next click than something viewed a year ago, and to buy says more than to view. So when it was, and what was
# done, must come into the row as well. The paper does it in the simplest way: it looks both up in tables and adds.
#
# ## The idea, with small numbers
#
# Say the object's row is (1, 2). The table of times has the row (0.5, 0) for "this week", the table of actions the row (0,
# −1) for "bought". Then the behaviour is $u = (1, 2) + (0.5, 0) + (0, -1) = (1.5, 1)$.
#
# If the loss would rise by (3, 4) per unit of $u$, it would also rise by (3, 4) per unit of each of the three parts: to add
# is to pass on. So each of the three rows gets (3, 4).
#
# What is a row of the table of times? Time is a number, a table has rows. So time is cut into **buckets** that double: less
# than one day, 1, 2 to 3, 4 to 7, 8 to 15 days, and so on. The number of doublings from 1 to a year is less than 9, so a few
# rows are enough, and recent times are told apart finely, old ones roughly.
#
# ## The equation
#
# Behaviour $j$ of group $i$ (items, queries, …), which did action $a_j$ to object $o_j$ at time $t_j$:
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\mathrm{bucketize}_i(t_j)) + \mathrm{lookup}^a_i(a_j) $$
#
# All three parts are $b_i$ numbers wide. Each group has its own table of times and of actions. bucketize takes the time
# *elapsed* from the behaviour to the moment of ranking, in units of one day (the schema of a data set may say another):
#
# $$ [0,1) \to 0, \quad [1,2) \to 1, \quad [2,4) \to 2, \quad \dots, \quad [2^k, 2^{k+1}) \to k+1, \quad
#    \text{the last bucket is open} $$
#
# ## The conventions
#
# $L$ is the loss, one number. **$dZ$ is $\partial L/\partial Z$ and has the shape of $Z$**: its entry says how much $L$
# grows, per unit, if this entry of $Z$ grows a little. $du$ is given by the layers above, the *upstream gradient*; to test
# this layer alone we draw it at random and take $L = \sum du \circ u$, where $\circ$ is the product entry by entry, `*`.
# $[\text{condition}]$ is 1 where the condition holds, else 0. `relative_error` is the largest difference of two arrays
# divided by their largest entry. `scoreboard((name, gradient, array, f))` compares a gradient with numeric derivatives of
# `f(array)`. (Lesson 02 explains all of this.)

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.datasets.packing import bucketize
from atrank_np.gradcheck import dense, relative_error
from atrank_np.layers.embedding import lookup_backward
from atrank_np.metrics import user_auc

DAY = 86400  # seconds: the unit, if the schema gives no other


# %% [markdown]
# ## Buckets: the slow version
#
# Walk up the doublings until the elapsed time is below the end of the bucket.
# %%
def bucket_slow(elapsed, unit, buckets):
    units = elapsed // unit  # whole days: 23:59:59 is no full day
    bucket = 0
    end = 1
    while units >= end:  # bucket 0 ends at 1, bucket 1 at 2, bucket 2 at 4, …
        bucket += 1
        end *= 2
    return min(bucket, buckets - 1)


# %% [markdown]
# There is a faster way. Write the number of days in binary: 1 is 1, 2 and 3 are 10 and 11, 4 to 7 are 100 to 111. Each
# doubling adds one digit. So the bucket is the **number of binary digits** of the whole days (0 has none), and no more than
# the last:
#
# $$ \mathrm{bucket} = \min(\text{binary digits of } \lfloor \text{elapsed}/\text{unit} \rfloor,\ \text{buckets} - 1) $$
#
# In Python it is `int.bit_length`; the package's `bucketize` does it for whole arrays. It is exact at each edge, which a
# logarithm is not (see the end). We compare on both sides of every edge.
# %%
print(" days   binary   bucket")
for days in (0, 1, 2, 3, 4, 7, 8, 100):
    bucket = bucket_slow(days * DAY, DAY, 14)
    print(f"{days:5}  {days:7b}  {bucket:7}")
    assert bucket == days.bit_length()

edges = []
for k in range(45):
    edges += [2**k - 1, 2**k, 2**k + 1]
edges = np.array(edges)
for unit, buckets in ((1, 14), (DAY, 14), (3600, 6), (1, 64)):
    slow = [bucket_slow(int(edge) * unit, unit, buckets) for edge in edges]
    assert bucketize(edges * unit, unit, buckets).tolist() == slow

# %% [markdown]
# ## The target
#
# The object that is to be ranked goes through the same block, so that it lives in the same space as the history. When is it?
# Now: its elapsed time is 0, so its bucket is 0. What is its action? We do not know whether it will be bought; above all, a
# *negative* (an object that was not chosen) has no action. So the action of a target is a constant of the group, the same for
# positives and negatives (`target_action` in the schema). At the end you see what happens otherwise.
#
# ## The gradient, one rule at a time
#
# We name the parts. For row $j$ of a batch:
#
# $$ e_{jc} = \text{table}_{o_j, c} \qquad t_{jc} = \text{time}_{k_j, c} \qquad a_{jc} = \text{action}_{r_j, c} \qquad
#    u_{jc} = e_{jc} + t_{jc} + a_{jc} $$
#
# with the bucket $k_j$ and the action's row $r_j$. Five behaviours, then two targets, in one batch:
# %%
rng = np.random.default_rng(4)
E = 3
objects = np.array([1, 4, 2, 4, 1, 2, 3])
elapsed = np.array([90, 8, 3, 1, 0, 0, 0]) * DAY
bucket = bucketize(elapsed, DAY, 6)
action = np.array([0, 0, 1, 0, 2, 0, 0])  # view, view, buy, view, search; the targets: view
print("buckets", bucket)
assert bucket.tolist() == [5, 4, 2, 1, 0, 0, 0]  # 90 days has 7 digits; with six buckets the last is 5, and open

table = rng.standard_normal((5, E))
time = rng.standard_normal((6, E))
actions = rng.standard_normal((3, E))
e = table[objects]
t = time[bucket]
a = actions[action]
u = e + t + a
du = rng.standard_normal(u.shape)  # the upstream gradient


def loss(u):
    return (du * u).sum()


# %% [markdown]
# **The sum.** $e_{jc}$ stands in $u_{jc}$ only, with the factor 1. So $de_{jc} = du_{jc}$; and the same for the other two:
#
# $$ de = dt = da = du $$
# %%
def loss_from_e(e):
    return loss(e + t + a)


def loss_from_t(t):
    return loss(e + t + a)


def loss_from_a(a):
    return loss(e + t + a)


de, dt, da = du, du, du
assert scoreboard(("e", de, e, loss_from_e))
assert scoreboard(("t", dt, t, loss_from_t))
assert scoreboard(("a", da, a, loss_from_a))

# %% [markdown]
# **The three lookups.** Each table gets its shares by *its own* index, as in lesson 03: what comes back to row $j$ is added
# to the row that $j$ has read.
#
# $$ dtable_{vc} = \sum_j [o_j = v]\, du_{jc} \qquad dtime_{kc} = \sum_j [k_j = k]\, du_{jc} \qquad
#    daction_{rc} = \sum_j [r_j = r]\, du_{jc} $$
# %%
dtable = lookup_backward(de, objects)
dtime = lookup_backward(dt, bucket)
dactions = lookup_backward(da, action)


def loss_from_table(table):
    return loss(table[objects] + time[bucket] + actions[action])


def loss_from_time(time):
    return loss(table[objects] + time[bucket] + actions[action])


def loss_from_actions(actions):
    return loss(table[objects] + time[bucket] + actions[action])


assert scoreboard(("object table", dtable, table, loss_from_table))
assert scoreboard(("time table", dtime, time, loss_from_time))
assert scoreboard(("action table", dactions, actions, loss_from_actions))

# %% [markdown]
# Look at row 0 of the table of times. Three rows of the batch have read it: one behaviour of today, and both targets. It gets
# the sum of the three. Whoever handles history and targets apart must add here too. Row 3 (4 to 7 days) was read by nobody.
#
# The package does all of this for each group in `CommonSpace.backward`, with the same `lookup_backward`.
# %%
assert np.allclose(dense(dtime, time.shape)[0], du[4] + du[5] + du[6])
assert 3 not in dtime.ids

# %% [markdown]
# ## Sum or side by side?
#
# The paper's formula is a sum, but its text says "concatenation", and the authors' own code puts time and object side by
# side. How different is that? The next step of the model is a product with a matrix $W$ (lesson 05), and
#
# $$ (e + t + a)\,W = e W + t W + a W = [e\ \ t\ \ a] \begin{pmatrix} W \\ W \\ W \end{pmatrix} $$
#
# So the sum is the same as side by side with three *equal* matrices. Side by side, the three may differ, which has more
# freedom and more numbers to learn. The sum can still write time into columns of its own: the table of times is free to be
# zero elsewhere.
# %%
W = rng.standard_normal((E, 2))
side_by_side = np.concatenate([e, t, a], axis=1)
three_times = np.concatenate([W, W, W])
assert relative_error(u @ W, side_by_side @ three_times) < 1e-14

# %% [markdown]
# ## The picture: why buckets that double?
#
# The time between behaviours spreads over powers of ten: minutes, weeks, years. Left: the bucket of every elapsed time up to
# 40 days. Right: 20,000 made-up elapsed times, spread as in a shop, in buckets that double and in equal buckets of 100 days.
# Equal buckets put four of five into the first one, and the other rows of the table learn from next to nothing.
# %%
ages = (np.exp(3 + 1.8 * rng.standard_normal(20_000)) * DAY).astype(np.int64)
doubling = np.bincount(bucketize(ages, DAY, 14), minlength=14) / len(ages)
equal = np.bincount(np.minimum(ages // (100 * DAY), 13), minlength=14) / len(ages)
assert doubling.max() < 0.3
assert equal.max() > 0.8

# %%
with figure("04_time_buckets", columns=2, size=(10.5, 4)) as (fig, axes):
    days = np.arange(0, 41, 0.02)
    axes[0].plot(days, bucketize((days * DAY).astype(np.int64), DAY, 14), color="C0")
    for k in range(6):
        axes[0].axvline(2**k, color="0.85", lw=1, zorder=0)
    for k in (2, 3, 4):
        axes[0].text(2**k * 1.5, k + 1.12, f"[{2**k}, {2 ** (k + 1)})", ha="center", fontsize=8)
    axes[0].set(xlabel="days from the behaviour to the ranking", ylabel="bucket")
    axes[0].set_title("each bucket is as long as all before it")
    axes[0].text(1.6, 0.1, "bucket 0: targets, and the last 24 hours", fontsize=8, va="center")
    axes[0].set(xticks=[0, 2, 4, 8, 16, 32], ylim=(-0.3, 6.8))
    axes[1].bar(np.arange(14) - 0.2, doubling, 0.4, label="buckets that double")
    axes[1].bar(np.arange(14) + 0.2, equal, 0.4, color="C1", label="equal buckets of 100 days")
    axes[1].set(xlabel="bucket", xticks=range(14), ylabel="share of behaviours")
    axes[1].set_title("how often each row of the table is read")
    axes[1].legend()

# %% [markdown]
# ## What people get wrong
#
# 1. **A logarithm in place of the digits.** $\log_2$ is rounded; just below a large power of two it gives the next bucket.
#    And 0 has no logarithm.
# 2. **One bucket per event, kept for ever.** Elapsed time belongs to a behaviour *and a moment of ranking*. The same view is
#    a day old for one ranking and 40 days for a later one.
# 3. **The target's own action.** If positives are shown as "buy" and negatives as "view", a model that sees nothing else
#    ranks perfectly. It has learned the label, not the user. (AUC, lesson 00: the chance that the positive is ranked above
#    the negative; 0.5 is guessing.)
# 4. **A behaviour after the moment of ranking.** Its elapsed time is negative. `bucketize` does not complain, so the history
#    must be cut before.
# %%
wrong = []
for k in range(1, 60):
    number = 2**k - 1
    by_logarithm = int(np.log2(number)) + 1
    if by_logarithm != number.bit_length():
        wrong.append(k)
print("1. int(log2(n)) + 1 is wrong for n = 2^k - 1 with k =", wrong)
assert wrong

event, first_ranking, second_ranking = 0, 1 * DAY, 40 * DAY
two_buckets = bucketize(np.array([first_ranking - event, second_ranking - event]), DAY, 14)
print("2. one behaviour, two rankings, buckets", two_buckets.tolist())
assert two_buckets.tolist() == [1, 6]

label = np.array([1.0, 0, 1, 0, 1, 0])  # three users, each with a positive and a negative
users = np.array([0, 2, 4, 6])
own_action = label  # "buy" for the positive, "view" for the negative
same_action = np.zeros(6)
print("3. ranked by the target's action alone: AUC", user_auc(own_action, label, users).mean, end=", ")
print("with the same action for all:", user_auc(same_action, label, users).mean)
assert user_auc(own_action, label, users).mean == 1
assert user_auc(same_action, label, users).mean == 0.5

print("4. elapsed -3 days: bucket", bucketize(np.array([-3 * DAY]), DAY, 14)[0], "and no error")
assert bucketize(np.array([-3 * DAY]), DAY, 14)[0] == 2  # as if it were 3 days

# %% [markdown]
# ## Your turn
#
# Buckets that grow four times, a hunt for two faults that only some inputs show, and a time between two buckets:
# `python -m lessons.exercises check 04` (from the repository's root).
# %%
print("lesson 04 done: the bucket is a number of binary digits, targets are in bucket 0, and a sum passes on to each part")
