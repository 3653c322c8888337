# %% [markdown]
# # Lesson 04. Time buckets, actions, and the sum u
#
# *Before it: lesson 03 (lookup and its scatter-add). About 20 minutes.*
#
# What was done, and how long ago? Behaviour $j$ of group $i$ is embedded as a **sum** of three parts, all $b_i$ wide:
#
# $$ u_{ij} = \mathrm{emb}_i(o_j) + \mathrm{lookup}^t_i(\mathrm{bucketize}_i(t_j)) + \mathrm{lookup}^a_i(a_j) $$
#
# The time table and the action table belong to the group. The time is the time *elapsed* from the behaviour to the moment
# of ranking, cut into buckets that double: $[0,1) \to 0$, $[1,2) \to 1$, $[2,4) \to 2$, …, $[2^k, 2^{k+1}) \to k+1$
# units; the last bucket is open.

# %%
import numpy as np
from _common import figure, scoreboard

from atrank_np.datasets.packing import bucketize
from atrank_np.gradcheck import dense, relative_error
from atrank_np.layers.embedding import lookup_backward, lookup_forward
from atrank_np.metrics import user_auc

DAY = 86400  # seconds: the unit of a bucket that the schema gives if it says nothing else


# %% [markdown]
# ## The slow version: walk up the doublings
# %%
def bucket_slow(elapsed, unit, buckets):
    units, bucket, end = elapsed // unit, 0, 1
    while units >= end:  # bucket 0 ends at 1, bucket 1 at 2, bucket 2 at 4, …
        bucket, end = bucket + 1, 2 * end
    return min(bucket, buckets - 1)


# %% [markdown]
# The number of doublings is the number of binary digits, the **bit length**: 0 has none, 1 has one, 2 and 3 (10, 11) have
# two, 4 to 7 (100 … 111) have three. So
# $\mathrm{bucket} = \min(\text{bit length of } \lfloor \text{elapsed}/\text{unit} \rfloor,\ \text{buckets} - 1)$, exact
# in whole numbers. The pencil table:
# %%
print(" days   binary   bucket")
for days in (0, 1, 2, 3, 4, 7, 8, 100):
    print(f"{days:5}  {days:7b}  {bucket_slow(days * DAY, DAY, 14):7}")
    assert bucket_slow(days * DAY, DAY, 14) == days.bit_length()
edges = np.array([e for k in range(45) for e in (2**k - 1, 2**k, 2**k + 1)])
for unit, buckets in ((1, 14), (DAY, 14), (3600, 6), (1, 64)):
    slow = [bucket_slow(int(e) * unit, unit, buckets) for e in edges]
    assert bucketize(edges * unit, unit, buckets).tolist() == slow  # the package, on both sides of every edge
assert bucketize(np.array([DAY - 1]), DAY, 14)[0] == 0  # 23:59:59 is no full day

# %% [markdown]
# ## The target's u
#
# The object to be ranked passes through the same block of its own group, so that it lives in the same space as the
# history. It happens now: elapsed time 0, bucket 0. Its action is a **constant of the group** (the schema's
# `target_action`), for positives and negatives alike: a negative never happened, it has no action of its own.
#
# ## The gradient
#
# Atoms: $e = \text{table}[o]$, $t = \text{time}[\text{bucket}]$, $a = \text{action}[\ldots]$, $u = e + t + a$. A sum
# hands $du$ to each of its terms unchanged, and each table does what it did in lesson 03: it collects by *its own* index.
#
# $$ de = dt = da = du \qquad d\text{time}_k = \sum_{j:\ \text{bucket}_j = k} du_j \qquad
#    d\text{action}_r = \sum_{j:\ \text{action of } j\, =\, r} du_j $$
# %%
rng = np.random.default_rng(4)
E, history, targets = 3, 5, 2  # five behaviours, then two targets, in one block
objects = np.array([1, 4, 2, 4, 1, 2, 3])
elapsed = np.array([90, 8, 3, 1, 0, 0, 0]) * DAY
bucket = bucketize(elapsed, DAY, 6)
action = np.array([0, 0, 1, 0, 2, 0, 0])  # view, view, buy, view, search; the targets: view
table, time, act = (rng.standard_normal((rows, E)) for rows in (5, 6, 3))
print("buckets", bucket, " actions", action)
assert bucket.tolist() == [5, 4, 2, 1, 0, 0, 0]  # 90 days would be bucket 7; with six buckets the last is open


def u_of(table, time, act):
    return table[objects] + time[bucket] + act[action]


rows = list(zip(objects, bucket, action))
u_slow = np.array([[table[o, c] + time[k, c] + act[a, c] for c in range(E)] for o, k, a in rows])
assert relative_error(u_slow, u_of(table, time, act)) < 1e-15
du = rng.standard_normal(u_slow.shape)
e, t, a = table[objects], time[bucket], act[action]
loss = lambda u: (du * u).sum()
grads = [lookup_backward(du, lookup_forward(x, ids)[1]) for x, ids in ((table, objects), (time, bucket), (act, action))]
assert scoreboard(
    ("e = emb(o)", du, e, lambda e: loss(e + t + a)),
    ("t = time[k]", du, t, lambda t: loss(e + t + a)),
    ("a = action", du, a, lambda a: loss(e + t + a)),
    ("object table", grads[0], table, lambda x: loss(u_of(x, time, act))),
    ("time table", grads[1], time, lambda x: loss(u_of(table, x, act))),
    ("action table", grads[2], act, lambda x: loss(u_of(table, time, x))),
)
print("row 0 of the time table collects", (bucket == 0).sum(), "rows: one young behaviour and both targets")
assert np.allclose(dense(grads[1], time.shape)[0], du[4:].sum(0)) and 3 not in grads[1].ids

# %% [markdown]
# One line: `dtable, dtime, daction = (lookup_backward(du, ids) for ids in (object, bucket, action))`. The package does
# this for every group in `CommonSpace.backward`.
#
# ## Sum or concatenation?
#
# The paper's formula is a sum, yet its text speaks of "concatenation", and the authors' code concatenates. How different
# are they? What follows is a product with a matrix $W$ (lesson 05), and a product goes through a sum:
#
# $$ (e + t + a)\,W = eW + tW + aW = [e\ t\ a] \begin{pmatrix} W \\ W \\ W \end{pmatrix} $$
#
# The sum is a concatenation whose three blocks are forced to be equal. A concatenation has three free matrices, and can
# give time a width of its own. The sum has fewer numbers to learn, and each table still learns where in the space it
# writes.
# %%
W = rng.standard_normal((E, 2))
assert np.allclose(u_slow @ W, np.concatenate([e, t, a], axis=1) @ np.concatenate([W, W, W]))

# %% [markdown]
# ## The picture: why doublings?
#
# Gaps between behaviours spread over powers of ten: minutes, weeks, years. Left: the bucket of every elapsed time. Right:
# 20,000 made-up elapsed times with the spread of a web shop. Equal slices of 100 days put four of five into the first; the
# doublings give every row of the time table something to learn from. "Yesterday or last week" matters; "day 900 or 907"
# does not.
# %%
ages = (np.exp(3 + 1.8 * rng.standard_normal(20_000)) * DAY).astype(np.int64)
share = np.bincount(bucketize(ages, DAY, 14), minlength=14) / len(ages)
equal = np.bincount(np.minimum(ages // (100 * DAY), 13), minlength=14) / len(ages)
with figure("04_time_buckets", columns=2, size=(10.5, 4)) as (fig, axes):
    days = np.arange(0, 41, 0.02)
    axes[0].plot(days, bucketize((days * DAY).astype(np.int64), DAY, 14), color="C0")
    for k in range(6):
        axes[0].axvline(2**k, color="0.85", lw=1, zorder=0)
        axes[0].text(2**k * 1.5, k + 1.12, f"[{2**k}, {2 ** (k + 1)})" if 1 < k < 5 else "", ha="center", fontsize=8)
    axes[0].set(xlabel="days from the behaviour to the ranking", ylabel="bucket", title="each bucket is as long as all before it")
    axes[0].text(1.6, 0.1, "bucket 0: targets, and the last 24 hours", fontsize=8, va="center")
    axes[0].set(xticks=[0, 2, 4, 8, 16, 32], ylim=(-0.3, 6.8))
    axes[1].bar(np.arange(14) - 0.2, share, 0.4, label="buckets that double")
    axes[1].bar(np.arange(14) + 0.2, equal, 0.4, color="C1", label="equal buckets of 100 days")
    axes[1].set(xlabel="bucket", xticks=range(14), ylabel="share of behaviours")
    axes[1].set_title("what each row of the time table gets to see")
    axes[1].legend()
assert share.max() < 0.3 < 0.8 < equal.max()

# %% [markdown]
# ## What people get wrong
# %%
log2 = lambda n: int(np.log2(n)) + 1  # 1. a logarithm instead of the bit length
wrong = [k for k in range(1, 60) if log2(2**k - 1) != (2**k - 1).bit_length()]
print(f"1. int(log2(n)) + 1 is wrong just below 2^{wrong[0]}, 2^{wrong[1]}, …, where log2 rounds up; and n = 0 has no logarithm")
assert wrong and bucket_slow(2 ** wrong[0] - 1, 1, 64) == wrong[0]

event_time, first_ranking, second_ranking = 0, 1 * DAY, 40 * DAY  # 2. one bucket per event, kept for ever
buckets = [int(bucketize(np.array([r - event_time]), DAY, 14)[0]) for r in (first_ranking, second_ranking)]
print("2. the same behaviour at two moments of ranking has the buckets", buckets, ": elapsed time is not a property of an event")
assert buckets == [1, 6]

label = np.array([1.0, 0, 1, 0, 1, 0])  # 3. the positive shown with its own action, "buy", the negatives with "view"
own_action = np.array([1.0, 0, 1, 0, 1, 0])
leak = user_auc(own_action, label, np.array([0, 2, 4, 6])).mean
print(
    "3. a model that sees only the target's own action has AUC",
    leak,
    ": the label leaked. A constant action gives",
    user_auc(np.zeros(6), label, np.array([0, 2, 4, 6])).mean,
)
assert leak == 1

print(
    "4. a history that holds what came after the ranking: elapsed",
    -3 * DAY // DAY,
    "days, bucket",
    bucketize(np.array([-3 * DAY]), DAY, 14)[0],
    ", without any error message",
)
assert bucketize(np.array([-3 * DAY]), DAY, 14)[0] == 2  # frexp of -3: a history must only hold what is past

# %% [markdown]
# ## Your turn
#
# Write bucketize and the backward pass of the sum: `python -m lessons.exercises check 04` (from the repository's root).
# %%
print("lesson 04 done: the bucket is a bit length, targets stand at bucket 0, and a sum hands its gradient to every term")
