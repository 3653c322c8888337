# %% [markdown]
# # A session in Python
#
# What one does with the package in a notebook, from a data frame to tomorrow's events. It takes some seconds. Each class and
# method has a docstring with its arguments, shapes and faults: `help(ATRank.recommend)`.

# %%
import tempfile
from pathlib import Path

import numpy as np

from atrank_np import CNN, ATRank, Log, datasets

# %% [markdown]
# ## The log
#
# A log says who did what when. The simulated shop comes with the package:

# %%
shop = datasets.load_shop()
print(f"{len(shop.users):,} users, {len(shop.time):,} events, groups {', '.join(shop.catalogues)}")

# %% [markdown]
# Your own data come from files, `read_log("folder")`, or from memory: a data frame of pandas, polars or pyarrow, or a dict of
# arrays. Columns may have other names. Here 200 users each like one of three kinds of things.

# %%
rng = np.random.default_rng(0)
KINDS = np.array(["tea", "book", "bike"])
kind_of_thing = np.arange(30) % 3
likes = rng.integers(3, size=200)
visitor = np.repeat(np.arange(200), 8)
their_kind = np.where(rng.random(1600) < 0.9, likes[visitor], rng.integers(3, size=1600))
thing = 3 * rng.integers(9, size=1600) + their_kind  # of 27 things: three more come tomorrow
when = np.tile(np.arange(8), 200) * 86400

events = {"visitor": visitor, "thing": thing, "time": when}
items = {"object": np.arange(27), "kind": KINDS[kind_of_thing[:27]]}
log = Log.from_frame(events, items, columns={"user": "visitor", "object": "thing"})
print(log.notes[0])

# %% [markdown]
# ## Training
#
# All settings have defaults. `fit(log, show=True)` shows a bar; a callback gets the same numbers. The model tests itself on
# each user's last event, which it does not train on. Without a word on `purpose` it learns to sort two objects rightly;
# `ATRank("top-n")` learns to fill the first places of a list.

# %%
seen = []


def keep(step, loss, auc):
    seen.append((step, round(loss, 3), round(auc, 3)))


model = ATRank(epochs=4, width=32, seed=0).fit(log, callback=keep)
print(model)
print(seen[0], seen[-1])
assert model.history_["step"][-1] == seen[-1][0]

# %% [markdown]
# ## Is it good?
#
# `evaluate` ranks the whole catalogue. Beside the model's figures stand those of rankings that know little: popularity alone,
# or the history of somebody else.

# %%
report = model.evaluate(log, at=(5, 10))
for name in ("test_auc", "test_auc_se", "popularity_auc", "swapped_history_auc", "hr@5", "ndcg@5", "mrr"):
    print(f"{name:20} {report[name]:.3f}")
assert report["test_auc"] > report["swapped_history_auc"] + 0.1

# %% [markdown]
# The four competitors of the paper have the same methods: `BPRMF`, `BiLSTM`, `BiLSTMAttention`, `CNN`.

# %%
print(CNN(epochs=4, width=32).fit(log))

# %% [markdown]
# ## Recommending
#
# For users of the log, or for a history that you name. A name is what the data have; a number is the name that a file would
# have for it.

# %%
ids, scores = model.recommend(log, users=["7", "8"], n=4)
for user, names in zip(("7", "8"), ids):
    print(user, "likes", KINDS[likes[int(user)]], "->", [f"{name} ({KINDS[int(name) % 3]})" for name in names])
assert ids.shape == scores.shape == (2, 4)

ids, _ = model.recommend(history=["0", "3", "6"], n=4)
print("after three teas:", KINDS[ids.astype(int) % 3])
ids, _ = model.recommend(history=[], candidates=["1", "2", "3"], n=3)  # nothing is known: of three things
assert sorted(ids) == ["1", "2", "3"]

# %% [markdown]
# Which things are alike to the model, and which behaviours of a user does it look at for one of them? `weights` has a row for
# each of the K spaces, and each row sums to 1.

# %%
print("like thing 4, a book:", model.similar_items("4", n=3))
behaviours, weights = model.attention(log, "7", item="4")
print(behaviours)
print(weights.round(2)[:2])
assert weights.shape == (model.config.spaces, len(behaviours)) and np.allclose(weights.sum(1), 1)

# %% [markdown]
# ## Tomorrow
#
# There are new events, new users and three new things. `update` goes on with the training. It takes the whole log: old events
# are the histories of new ones, and a model that is trained on new ones alone forgets. What the model knows keeps its
# parameters at first, what is new starts as in a new model. A lower learning rate disturbs less.

# %%
more = rng.integers(200, 220, size=120)  # 20 new users
tomorrow = Log.from_frame(
    {
        "visitor": np.append(visitor, more),
        "thing": np.append(thing, rng.integers(30, size=120)),
        "time": np.append(when, 8 * 86400 + np.arange(120)),
    },
    {"object": np.arange(30), "kind": KINDS[kind_of_thing]},
    columns={"user": "visitor", "object": "thing"},
)
model.update(tomorrow, epochs=1, learning_rate=0.1)
print(model)
ids, _ = model.recommend(tomorrow, users=["215"], n=30, exclude_seen=False)
assert {"27", "28", "29"} <= set(ids[0])

# %% [markdown]
# ## A file
#
# `save` writes plain arrays, without pickle. A loaded model may be used by several threads at once.

# %%
with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "m.npz")
    same = ATRank.load(Path(folder) / "m.npz")
assert same.recommend(tomorrow, users=["7"])[0].tolist() == model.recommend(tomorrow, users=["7"])[0].tolist()

# %% [markdown]
# ## What goes wrong
#
# Faults are one line. Those of arguments are ValueErrors; all are `AtrankError`s.

# %%
try:
    model.recommend(log, users=["nobody"])
except ValueError as fault:
    print(fault)
print("session done")
