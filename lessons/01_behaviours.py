# %% [markdown]
# # Lesson 01. From a log to a batch
#
# *Before it: Python and NumPy indexing. About 40 minutes.*
#
# A shop keeps a log: who did what, to which object, when. A model needs arrays. What lies between decides what a result
# means: which behaviours may the model see when it ranks, which events train it, which ones test it? A mistake here makes a
# model look better than it is, and no gradient check finds it. This lesson goes from a log of nine lines to the arrays that
# every later lesson computes with. There is no calculus in it.
#
# ## The idea, with small numbers
#
# Ann viewed tea (day 0), a cup (day 1), a bicycle (day 3), and bought a lamp (day 10). We want a model that says what comes
# next. From her four events we make questions of the form "what she did before, what came next?":
#
# * tea → cup
# * tea, cup → bicycle
# * tea, cup, bicycle → lamp
#
# The last question is kept for the test, the others train. So a user with $n$ events gives $n - 2$ training questions and one
# test question. With one event there is nothing: there is no past to ask from.
#
# ## The protocol of the paper
#
# A behaviour is a tuple $(a, o, t)$: action, object, time. Behaviours come in groups, by the type of their object: items,
# search queries, coupons. One group is ranked; its events are the *target events*. For a user with target events
# $b_1 \dots b_n$:
#
# $$ \text{the first } k \text{ predict the } (k+1)\text{-th}, \qquad
#    k = 1 \dots n-2 \text{ to train}, \quad k = n-1 \text{ to test} $$
#
# $n$ and $k$ count the ranked group only. But the history is *everything* that happened before, of all groups: if Ann
# searched for "red bike" on day 2, this search is a part of the history from which the bicycle is predicted.

# %%
import tempfile
from pathlib import Path

import numpy as np
from _common import figure

from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.randomness import stream

DAY = 86400  # seconds
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
ITEMS = """object,category
tea,food
cup,home
bike,sport
lamp,home
pen,office
"""
QUERIES = """object,words
q1,red bike
"""
SCHEMA = """targets = ["items"]
[groups.items.features]
object = "id"
category = "categorical"
[groups.queries.features]
words = "tokens"
"""

# %% [markdown]
# ## A log on disk
#
# A data set is a folder: `events.csv`, and one CSV per group with the features of its objects. `schema.toml` says what the
# columns mean (it may be missing; `data/README.md` describes the whole format). `read_log` sorts the events by user and time
# and turns names into small integers: an object becomes its row in the catalogue of its group. Row 0 of each catalogue is
# `unknown`.
#
# All events of all users lie one after another. `offsets` says where each user begins: user $u$ has the events `offsets[u]`
# to `offsets[u + 1] - 1`. You will meet such offsets in the whole package.
# %%
with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    lines = ["user,group,action,object,time"]
    for user, group, action, thing, day in EVENTS:
        lines.append(f"{user},{group},{action},{thing},{day * DAY}")
    (folder / "events.csv").write_text("\n".join(lines) + "\n")
    (folder / "items.csv").write_text(ITEMS)
    (folder / "queries.csv").write_text(QUERIES)
    (folder / "schema.toml").write_text(SCHEMA)
    log = read_log(folder)

group_names = [group.name for group in log.schema.groups]


def name_of(group, row):
    return str(log.catalogues[group_names[group]].objects[row])


print("users  ", log.users.tolist())
print("offsets", log.offsets.tolist())
anns = [name_of(group, row) for group, row in zip(log.group[:5], log.object[:5])]
print("ann's objects", anns, "are the rows", log.object[:5].tolist())
assert log.offsets.tolist() == [0, 5, 8, 9]
assert log.object[:5].tolist() == [1, 2, 1, 3, 4]  # q1 is row 1 of the catalogue of queries
assert log.group[:5].tolist() == [0, 0, 1, 0, 0]


# %% [markdown]
# ## The protocol, slowly
#
# Ann has four item events: two questions to train, one to test. Bob has three: one and one. Eve has a single event: none.
# %%
def moments_slow(events):
    """[(user, history, target, is_test)]"""
    users = []
    for event in events:
        if event[0] not in users:
            users.append(event[0])
    found = []
    for user in users:
        mine = [event for event in events if event[0] == user]
        mine.sort(key=lambda event: event[4])  # by day; Python's sort keeps the order of equal days
        places = [i for i in range(len(mine)) if mine[i][1] == "items"]
        n = len(places)
        for k in range(1, n):
            history = mine[: places[k]]  # everything before the target, of all groups
            found.append((user, history, mine[places[k]], k == n - 1))
    return found


moments = moments_slow(EVENTS)
for user, history, target, is_test in moments:
    kind = "test " if is_test else "train"
    print(f"  {kind} {user}: {' '.join(event[3] for event in history)} -> {target[3]}")

# %% [markdown]
# The package's `Protocol` does the same on arrays. A question is there a *sample*: a user, the range `start … end - 1` of the
# events that are its history, and the target object. We write its samples with names and compare.
#
# Two details. Events of the same time keep the order of the file; some logs know only the day, and then a schema may ask that
# the history holds strictly earlier times only (`history_rule = "before_time"`). And a target that stands in the history
# already is left out, unless the schema says `target_repeats = "keep"`; lesson 16 shows why.
# %%
parts = Protocol(log)


def in_words(samples):
    found = []
    for user, start, end, target in zip(samples.user, samples.start, samples.end, samples.object):
        history = [name_of(parts.events.group[i], parts.events.object[i]) for i in range(start, end)]
        found.append((str(log.users[user]), history, name_of(0, target)))
    return found


for samples, wanted in ((parts.train, False), (parts.test, True)):
    slow = []
    for user, history, target, is_test in moments:
        if is_test == wanted:
            slow.append((user, [event[3] for event in history], target[3]))
    assert in_words(samples) == slow
print("counted:", parts.counts)

# %% [markdown]
# ## Negatives
#
# "What comes next?" is asked as a comparison: the object that came (the *positive*, label 1) against one that did not (the
# *negative*, label 0). The log does not say what Ann did not want. So a negative is drawn at random from the objects that she
# never touched, a new one in each epoch. This choice matters for what a result means; lesson 16 returns to it.
#
# ## The batch: packed, not padded
#
# A **segment** is one user at one moment of ranking: a history and its candidates. Histories have different lengths. A batch
# stores the rows of all its segments one after another, $N$ rows in all, and `offsets` $[B + 1]$ says where each segment
# begins. Three histories of the lengths 1, 3, 1 make $N = 5$ rows with offsets 0, 1, 4, 5.
#
# An event is in the batch once for every segment that holds it. This is why the time **bucket** belongs to the row and not to
# the event: it says how long before *this* segment's moment the behaviour was (in days: 0, 1, 2 to 3, 4 to 7, …; lesson 04).
# Ann's tea is one day old when the cup is ranked, three days when the bicycle is ranked, ten in the test.
# %%
negatives = parts.negatives.draw(stream(0, "negatives", 0), parts.train)  # [samples, 1]
candidates = np.concatenate([parts.train.object[:, None], negatives], axis=1)
batch = pack(log.schema, parts.events, parts.train, candidates)
print("offsets", batch.offsets.tolist(), " target_offsets", batch.target_offsets.tolist())
for b in range(len(batch.offsets) - 1):
    print(f"  segment {b}")
    for row in range(batch.offsets[b], batch.offsets[b + 1]):
        thing = name_of(batch.group[row], batch.object[row])
        print(f"    row {row}: {log.actions[batch.action[row]]:6} {thing:5} bucket {batch.bucket[row]}")
    for t in range(batch.target_offsets[b], batch.target_offsets[b + 1]):
        print(f"    target {t}: {name_of(0, batch.target_object[t]):5} label {batch.label[t]:.0f}")

# %% [markdown]
# The same with loops, to compare. The number of binary digits of the days is the bucket: 0 has none, 1 has one, 2 and 3 have
# two.
# %%
things, buckets, ends = [], [], [0]
for _, history, target, is_test in moments:
    if is_test:
        continue
    for event in history:
        things.append(event[3])
        elapsed_days = target[4] - event[4]
        buckets.append(elapsed_days.bit_length())
    ends.append(len(things))
assert ends == batch.offsets.tolist()
assert buckets == batch.bucket.tolist()
assert things == [name_of(g, o) for g, o in zip(batch.group, batch.object)]
assert batch.bucket[0] == 1  # tea, when the cup is ranked: 1 day
assert batch.bucket[1] == 2  # the same tea, when the bicycle is ranked: 3 days

# %% [markdown]
# Why this shape? Most layers treat every behaviour by itself: embedding, projection, feed-forward net. They see $N$ rows and
# need not know of histories: one matrix product for all. Only attention looks at the offsets. The other way would be a
# rectangle, one row per history, filled up with zeros to the length of the longest (*padding*). Then each filled cell is
# stored and multiplied, and must be masked out again wherever it could have an effect. In a packed batch there is nothing to
# mask, so no mask can be forgotten.
#
# ## The picture: what padding costs
#
# Twelve histories, their lengths spread as in a shop: most are short, a few long. Grey is padding. Above: the attention
# scores, where every behaviour meets every other, so that a history of length $m$ has $m^2$ of them; the padding is there
# along both sides. Middle: the rows. Below: the same rows packed, with the offsets. We compute the waste for ten batches.
# %%
waste_of_rows, waste_of_scores = [], []
for seed in range(10):
    draw = np.random.default_rng(seed)
    lengths = np.minimum(5 + np.exp(0.4 + 1.2 * draw.standard_normal(12)), 40).astype(int)
    longest = lengths.max()
    waste_of_rows.append(longest * len(lengths) / lengths.sum())
    waste_of_scores.append(longest**2 * len(lengths) / (lengths**2).sum())
print(f"padding: {min(waste_of_rows):.1f} to {max(waste_of_rows):.1f} times the rows in ten batches,", end=" ")
print(f"{min(waste_of_scores):.1f} to {max(waste_of_scores):.1f} times the scores")
assert min(waste_of_rows) > 1.2
assert all(scores > rows for scores, rows in zip(waste_of_scores, waste_of_rows))

# %%
draw = np.random.default_rng(7)  # a batch with a waste in the middle of the ten
lengths = np.minimum(5 + np.exp(0.4 + 1.2 * draw.standard_normal(12)), 40).astype(int)
offsets = np.append(0, np.cumsum(lengths))
longest = lengths.max()
with figure("01_packed", size=(11, 3.2)) as (fig, axes):
    for b, m in enumerate(lengths):
        left, colour = b * longest, f"C{b % 7}"  # C7 is grey, as the padding
        axes.bar(left, longest, longest - 0.6, 10, align="edge", color="0.88")
        axes.bar(left, m, m - 0.6, 10 + longest - m, align="edge", color=colour)
        axes.barh(4, longest - 0.6, 3, left, align="edge", color="0.88")
        axes.barh(4, m - 0.6, 3, left, align="edge", color=colour)
        axes.barh(-6, m - 0.6, 3, offsets[b], align="edge", color=colour)
    for place in offsets:
        axes.text(place, -6.4, place, ha="center", va="top", fontsize=8)
    needed, padded = (lengths**2).sum(), longest**2 * len(lengths)
    axes.text(0, 10 + longest + 1, f"attention scores: {needed} needed, {padded} with padding")
    axes.text(0, 7.6, f"rows with padding: {longest * len(lengths)} for {lengths.sum()} behaviours")
    axes.text(0, -2.4, f"packed: {lengths.sum()} rows; the offsets say where each history begins")
    axes.set(aspect="equal", xlim=(-1, longest * len(lengths) + 1), ylim=(-9, 13 + longest))
    axes.axis("off")

# %% [markdown]
# ## What people get wrong
#
# 1. **Padding without a mask.** A softmax (lesson 07) makes weights with sum 1 of a row of scores. It gives weight to every
#    score, also to the zeros of the padding.
# 2. **A bucket per event, up to the end of the log.** Then the model is told how far away the end is, and that is the future.
# 3. **$k = 1 \dots n - 1$ to train.** Then the answer of the test was trained on.
# 4. **A sort that shuffles events of equal time.** NumPy's default sort may; ask for `kind="stable"`.
# %%
scores = np.array([2.0, 1, 0, 0, 0])  # two behaviours, three cells of padding
weights = np.exp(scores) / np.exp(scores).sum()
print(f"1. two behaviours and three cells of padding: {weights[2:].sum():.0%} of the weight goes to the padding")
assert weights[2:].sum() > 0.2

end_of_log = 11
to_the_end = end_of_log - EVENTS[0][4]
print("2. ann's tea, days to the end of the log:", to_the_end, "in every segment; to the moments of ranking: 1 and 3")
assert to_the_end.bit_length() != batch.bucket[0]


def pairs(samples):
    return {(user, target) for user, _, target in in_words(samples)}


all_moments = {(user, target[3]) for user, _, target, _ in moments}
tested, trained = pairs(parts.test), pairs(parts.train)
print(f"3. of {len(tested)} tested answers, trained on with one k too many: {len(tested & all_moments)}", end=", ")
print(f"in the package: {len(tested & trained)}")
assert tested <= all_moments
assert not tested & trained

times = np.array([5, 3] * 20)  # twenty events at time 5 and twenty at time 3
default = np.argsort(times)
stable = np.argsort(times, kind="stable")
print("4. order of the file kept by the default sort:", bool((np.diff(default[:20]) > 0).all()), end=" (on this machine), ")
print("by the stable one:", bool((np.diff(stable[:20]) > 0).all()))
assert (np.diff(stable[:20]) > 0).all()

# %% [markdown]
# ## Your turn
#
# The protocol with a validation part, the packing, and the rule for logs that know only the day:
# `python -m lessons.exercises check 01` (from the repository's root).
# %%
print("lesson 01 done: log -> samples k = 1 … n-2 -> segments -> one packed batch; a bucket belongs to the row, not the event")
