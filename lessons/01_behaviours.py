# %% [markdown]
# # Lesson 01. Behaviours as data: from a log to a packed batch
#
# *Before it: Python and NumPy indexing. About 25 minutes.*
#
# A behaviour is a tuple $(a, o, t)$: an action, an object, a time. A user is the list of their behaviours. The task: given
# what they did before, which object comes next? The protocol of the paper, for a user with target events $b_1 … b_n$:
#
# $$ \text{the first } k \text{ predict the } (k+1)\text{-th}, \quad
#    k = 1 … n-2 \text{ to train}, \quad k = n-1 \text{ to test} $$
#
# Behaviours come in groups, by the type of their object (items, queries, …). $n$ and $k$ count the group that is ranked;
# the history is *everything* that happened before, of all groups.

# %%
import tempfile
from pathlib import Path

import numpy as np
from _common import figure, scoreboard

from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.randomness import stream

DAY = 86400
EVENTS = [  # user, group, action, object, day
    ("ann", "items", "view", "tea", 0),
    ("ann", "items", "view", "cup", 1),
    ("ann", "queries", "search", "q1", 2),
    ("bob", "items", "view", "tea", 2),
    ("ann", "items", "view", "bike", 3),
    ("bob", "items", "view", "cup", 9),
    ("ann", "items", "buy", "lamp", 10),
    ("bob", "items", "view", "lamp", 10),
    ("eve", "items", "view", "tea", 11),
]

# %% [markdown]
# ## A log on disk
#
# A data set is a folder: `events.csv` and one CSV per group (`data/README.md` has the whole format; a schema.toml is
# optional). `read_log` turns names into small integers and sorts by user and time. Row 0 of every catalogue is `unknown`.
# %%
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    lines = ["user,group,action,object,time"] + [f"{u},{g},{a},{o},{day * DAY}" for u, g, a, o, day in EVENTS]
    (folder / "events.csv").write_text("\n".join(lines) + "\n")
    (folder / "items.csv").write_text("object,category\ntea,food\ncup,home\nbike,sport\nlamp,home\npen,office\n")
    (folder / "queries.csv").write_text("object,words\nq1,red bike\n")
    (folder / "schema.toml").write_text(
        'targets = ["items"]\n[groups.items.features]\nobject = "id"\ncategory = "categorical"\n'
        '[groups.queries.features]\nwords = "tokens"\n'
    )
    log = read_log(folder)
group_names = [g.name for g in log.schema.groups]
name_of = lambda g, o: str(log.catalogues[group_names[g]].objects[o])
print("users", log.users.tolist(), " their events end at", log.offsets[1:].tolist())
print("objects of ann", [name_of(g, o) for g, o in zip(log.group[:5], log.object[:5])], "= rows", log.object[:5].tolist())
assert log.offsets.tolist() == [0, 5, 8, 9]  # user u has the rows offsets[u] … offsets[u+1] - 1
assert log.object[:5].tolist() == [1, 2, 1, 3, 4] and log.group[:5].tolist() == [0, 0, 1, 0, 0]


# %% [markdown]
# ## The protocol, slowly
#
# Ann has four item events: two moments train, one tests. Bob has three: one trains, one tests. Eve has a single event;
# she has no past, so there is nothing to rank: she is counted, not used. (A target that the history holds already is left
# out too, unless the schema says `target_repeats = "keep"`; this log has none, and lesson 16 says why.)
# %%
def moments_slow(events):
    """[(user, history, target, is_test)]"""
    found = []
    for user in dict.fromkeys(event[0] for event in events):
        mine = sorted((e for e in events if e[0] == user), key=lambda e: e[4])  # sorted() keeps the order of ties
        targets = [place for place, e in enumerate(mine) if e[1] == "items"]
        n = len(targets)
        for k in range(1, n):  # k = n - 1 is the test
            found.append((user, mine[: targets[k]], mine[targets[k]], k == n - 1))
    return found


moments = moments_slow(EVENTS)
for user, history, target, is_test in moments:
    print(f"  {'test ' if is_test else 'train'} {user}: {' '.join(e[3] for e in history)} -> {target[3]}")
parts = Protocol(log)  # the package's version
for samples, is_test in ((parts.train, False), (parts.test, True)):
    mine = [(u, [e[3] for e in history], target[3]) for u, history, target, test in moments if test == is_test]
    theirs = [
        (log.users[u], [name_of(g, o) for g, o in zip(parts.events.group[i:j], parts.events.object[i:j])], name_of(0, target))
        for u, i, j, target in zip(samples.user, samples.start, samples.end, samples.object)
    ]
    assert mine == theirs
print("counted:", parts.counts)

# %% [markdown]
# ## The packed batch
#
# A **segment** is one user at one moment of ranking. A batch stores the behaviours of all its segments one after another,
# $N$ rows in all. `offsets` $[B+1]$ says where each begins: segment $b$ is `rows[offsets[b] : offsets[b+1]]`. Each
# segment also has targets: here the positive, and a negative, an item that the user never touched.
#
# The time **bucket** is computed per row, not per event: elapsed from the behaviour to *this segment's* moment (lesson 04).
# %%
candidates = np.concatenate([parts.train.object[:, None], parts.negatives.draw(stream(0, "negatives", 0), parts.train)], axis=1)
batch = pack(log.schema, parts.events, parts.train, candidates)
print("offsets", batch.offsets.tolist(), " target_offsets", batch.target_offsets.tolist())
for b in range(len(batch.offsets) - 1):
    for i in range(*batch.offsets[b : b + 2]):
        action = log.actions[batch.action[i]]
        print(f"  segment {b} row {i}: {action:6} {name_of(batch.group[i], batch.object[i]):5} bucket {batch.bucket[i]}")
    for t in range(*batch.target_offsets[b : b + 2]):
        print(f"            target {t}: {name_of(0, batch.target_object[t]):5} label {batch.label[t]:.0f}")

flat, bucket, ends = [], [], [0]
for _user, history, target, is_test in moments:  # the same with loops
    if not is_test:
        flat += [e[3] for e in history]
        bucket += [(target[4] - e[4]).bit_length() for e in history]  # whole days: 0 -> 0, 1 -> 1, 2 and 3 -> 2, …
        ends.append(len(flat))
assert ends == batch.offsets.tolist() and bucket == batch.bucket.tolist()
assert flat == [name_of(g, o) for g, o in zip(batch.group, batch.object)]

# %% [markdown]
# ## With a pencil: one worked row
#
# Ann viewed tea on day 0. It is row 0 of segment 0 (cup is ranked on day 1: 1 day, bucket 1) and row 1 of segment 1
# (bike, on day 3: 3 days, bucket 2); in the test segment (lamp, day 10) it has 10 days, bucket 4. One event, three
# different rows.
# %%
assert batch.bucket[[0, 1]].tolist() == [1, 2] and (10).bit_length() == 4

# %% [markdown]
# ## The first gradient: through the offsets
#
# Nothing in a log is trained, but packing decides where gradients go. Let $y_b$ be the mean of the $m_b$ rows of segment
# $b$. A row is used once, by its own segment, with the factor $1/m_b$; so $dx_i = dy_{b(i)} / m_b$. (Lesson 02 explains
# the check.)
# %%
rng = np.random.default_rng(1)
x, length = rng.standard_normal((batch.offsets[-1], 2)), np.diff(batch.offsets)
means = lambda x: np.array([x[i:j].mean(0) for i, j in zip(batch.offsets[:-1], batch.offsets[1:])])
dy = rng.standard_normal(means(x).shape)
dx = np.repeat(dy / length[:, None], length, axis=0)
assert scoreboard(("rows x", dx, x, lambda x: (dy * means(x)).sum()))

# %% [markdown]
# ## The picture: why packed and never padded
#
# A rectangle must be as wide as the longest history. Each grey cell is stored, multiplied, and then masked away again; in
# attention, where every behaviour scores every other, the waste is nearly squared. Packed, there is nothing to mask, so no mask
# to get wrong.
# %%
lengths = np.minimum(5 + np.exp(0.4 + 1.2 * rng.standard_normal(12)), 40).astype(int)  # the shape of a shop's histories
offsets, longest = np.append(0, np.cumsum(lengths)), lengths.max()
rows, pad = lengths.sum(), longest * len(lengths)
square, scores = longest**2 * len(lengths), (lengths**2).sum()
with figure("01_packed", size=(11, 2.9)) as (fig, axes):
    for b, m in enumerate(lengths):
        left, colour = b * longest, f"C{b % 10}"
        axes.bar(left, longest, longest - 0.6, 10, align="edge", color="0.88")
        axes.bar(left, m, m - 0.6, 10 + longest - m, align="edge", color=colour)
        axes.barh(4, longest - 0.6, 3, left, align="edge", color="0.88")
        axes.barh(4, m - 0.6, 3, left, align="edge", color=colour)
        axes.barh(-6, m - 0.6, 3, offsets[b], align="edge", color=colour)
    for place in offsets:
        axes.text(place, -6.4, place, ha="center", va="top", fontsize=8)
    axes.text(0, 10 + longest + 1, f"attention scores: {square} padded, {scores} needed")
    axes.text(0, 7.6, f"padded: {pad} rows for {rows} behaviours")
    axes.text(0, -2.4, f"packed: {rows} rows; the offsets say where each history begins")
    axes.set(aspect="equal", xlim=(-1, pad + 1), ylim=(-9, 26))
    axes.axis("off")
assert square / scores > pad / rows > 1.5

# %% [markdown]
# ## What people get wrong
# %%
padded = np.exp([2.0, 1, 0, 0, 0]) / np.exp([2.0, 1, 0, 0, 0]).sum()  # 1. padding with zeros, no mask
print(f"1. softmax over 2 behaviours and 3 zeros of padding: {padded[2:].sum():.0%} of the weight goes to nobody")
assert padded[2:].sum() > 0.2

to_the_end = [(11 - day).bit_length() for *_, day in EVENTS]  # the log ends on day 11
print("2. buckets per event, up to the log's end: ann's tea has", to_the_end[0], "in every segment; but the end is the future")
assert to_the_end[0] != batch.bucket[0]

leaky = [(u, t[3]) for u, _, t, _ in moments]  # 3. k = 1 … n-1 to train
tested = {(log.users[u], name_of(0, o)) for u, o in zip(parts.test.user, parts.test.object)}
trained = {(log.users[u], name_of(0, o)) for u, o in zip(parts.train.user, parts.train.object)}
both = len(tested & set(leaky)), len(tested & trained)
print(f"3. one k too many: {both[0]} of 2 tested answers were trained on; in the package {both[1]}")
assert tested <= set(leaky) and not tested & trained

times = np.array([5, 3] * 20)  # 4. a sort that shuffles events of the same time
unstable, stable = np.argsort(times), np.argsort(times, kind="stable")
print(
    "4. NumPy's default sort keeps the file order of ties:",
    bool((np.diff(unstable[:20]) > 0).all()),
    " stable:",
    bool((np.diff(stable[:20]) > 0).all()),
)
assert (np.diff(stable[:20]) > 0).all()

# %% [markdown]
# ## Your turn
#
# Write the protocol and the packing: `python -m lessons.exercises check 01` (from the repository's root).
# %%
print("lesson 01 done: log -> moments k = 1 … n-2 -> segments -> one packed batch; buckets belong to the row, not the event")
