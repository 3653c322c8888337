"""One ranking seen from inside, attention averaged over many, and the nearest objects."""

import contextlib
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..datasets.packing import Batch, pack
from ..datasets.protocol import Protocol
from ..datasets.samples import Samples
from ..errors import DataError
from ..layers.embedding import Rows
from ..models.common_space import bags_of
from ..text import one_line
from .plots import DAY
from .ranking import history_of, moment, place_of, rank, target_group, visible

EDGES = (0, 2, 4, 8, 16, 32, 64, 128)  # days: the rows of Table 4, and one more that is open
HISTORIES = 256  # per forward pass of Table 4
TARGETS = 10  # that the page has to choose from


class Inside(NamedTuple):
    """What one user's ranking looks like from inside. n behaviours, K spaces, D the common space."""

    behaviours: list  # n labels, oldest first
    elapsed: np.ndarray  # [n] ticks to the moment of ranking
    target: str  # the object whose vanilla attention is shown
    label: str  # the same in words
    score: float
    self_attention: np.ndarray  # [K, n, n], rows sum to one: (3)
    vanilla_attention: np.ndarray  # [K, n]: (7)
    C: np.ndarray  # [n, D]: (6)
    e: np.ndarray  # [D]: (7)
    batch: Batch  # of this one ranking, the target taken for a positive


def look_inside(trained, log, user, target=None, at=None, group=None):
    """Inside of the ranking of one object of a target group (the model's own first choice if None) for a user of the log."""
    schema, group = trained.schema, target_group(trained.schema, group)
    place, history = place_of(log, user), visible(history_of(log, user), schema, log.actions)
    at, end = moment(history, at)
    target = target or rank(trained, log, user=user, at=at, top=1, group=group)[0][0]
    row = row_of(trained, group, target)
    start = max(0, end - trained.config.cap)
    sample = Samples(*(np.array([value]) for value in (place, start, end, at, schema.index(group), row)))
    batch = pack(schema, history, sample, np.array([[row]], np.int32))
    scores, cache = trained.model().forward(trained.params, batch, trained.table_scale)
    weights = cache.user.weights()
    labels = [label_of(trained, g, o) for g, o in zip(batch.group.tolist(), batch.object.tolist())]
    K, n = trained.config.spaces, len(labels)
    own, vanilla = weights["self"][0], weights["vanilla"][0]
    return Inside(
        labels,
        at - history.time[start:end],
        target,
        label_of(trained, schema.index(group), row),
        float(scores[0]),
        np.zeros((K, n, n)) if own is None else own,
        np.zeros((K, n)) if vanilla is None else vanilla[:, 0],
        cache.user.C,
        cache.e[0],
        batch,
    )


def left_out(trained, batch, show=False):
    """By how much each score falls when behaviour i is left out, and nothing older comes in: [n, T] for a Batch of one history.

    This is what a behaviour does for a ranking; its attention weight is not (lesson 26).
    """
    model = trained.model()
    score = lambda batch: model.forward(trained.params, batch, trained.table_scale)[0]
    whole = score(batch)
    rows = np.arange(len(batch.object))
    bar = tqdm(rows, disable=None if show else True, unit=" behaviours", dynamic_ncols=True)
    return np.array([whole - score(batch.with_behaviours(np.delete(rows, i))) for i in bar]).reshape(-1, len(whole))


def targets_of(trained, log, user, target, at, group):
    """The target that is explained, then those that the model ranks first: names."""
    best = []
    with contextlib.suppress(DataError):  # the history may hold all objects
        best = rank(trained, log, user=user, at=at, top=TARGETS, group=group)
    return [target, *(name for name, _ in best if name != target)][:TARGETS]


def arrays(trained, inside):
    """name -> array: the attention weights, C and e of a ranking, and of every parameter ("parameter/…", as the formulas
    mean it) the gradient ("gradient/…") of that ranking's loss, -log σ(f)."""
    _, gradients = trained.backend(backend="numpy", loss="point", dropout=0.0).gradients(inside.batch)
    found = {name: getattr(inside, name) for name in ("self_attention", "vanilla_attention", "C", "e")}
    for name, w in trained.unscaled_parameters().items():
        gradient = gradients.get(name, 0)
        rows, values = gradient if isinstance(gradient, Rows) else (slice(None), gradient)
        found[f"parameter/{name}"], found[f"gradient/{name}"] = w, np.zeros_like(w)
        found[f"gradient/{name}"][rows] = values
    return found


def row_of(trained, group, name):
    """An object's row in its group's catalogue. DataError if there is no such object."""
    rows = np.flatnonzero(trained.catalogues[group].objects[1:] == name)
    if len(rows) == 0:
        raise DataError(f"object {name!r}: the model's {group} have none of that name")
    return int(rows[0]) + 1


def label_of(trained, group, row):
    """An object in words: its group's name if there are several, its name, and the first feature that is no id."""
    group = trained.schema.groups[group]
    catalogue = trained.catalogues[group.name]
    label = [str(catalogue.objects[row])]
    for feature in group.features:
        values = catalogue.features[feature.name]
        if feature.kind == "categorical":
            label.append(str(trained.tables[feature.table][values[row]]))
            break
        if feature.kind == "tokens":
            ids, _ = bags_of(values, np.array([row]))
            label.append(" ".join(trained.tables[feature.table][ids]))
            break
    return one_line((f"{group.name}: " if len(trained.schema.groups) > 1 else "") + ", ".join(label))


def attention_by_elapsed(trained, log, most=None, show=False, tick=1.0):
    """Table 4: rows of (from, to) days, behaviours, mean vanilla attention, mean uniform share 1/n. tick: its seconds.

    Mean over spaces, then over all behaviours of a bucket, in the histories of the positives of training and test.
    """
    protocol = Protocol(log, trained.config)
    samples = Samples(*(np.concatenate(columns) for columns in zip(protocol.train, protocol.test)))
    if most is not None and most < len(samples.user):
        samples = samples.take(np.linspace(0, len(samples.user) - 1, most).astype(int))
    model = trained.model()
    total, uniform, count = np.zeros(len(EDGES)), np.zeros(len(EDGES)), np.zeros(len(EDGES))
    bar = dict(disable=None if show else True, unit=" batches", dynamic_ncols=True)  # None: no bar where there is no terminal
    for start in tqdm(range(0, len(samples.user), HISTORIES), **bar):
        some = samples.take(slice(start, start + HISTORIES))
        batch = pack(protocol.schema, protocol.events, some, some.object[:, None])
        weights = model.forward(trained.params, batch, trained.table_scale)[1].user.weights()["vanilla"]
        for s, weight in enumerate(weights):
            if weight is None:
                continue
            elapsed = some.time[s] - protocol.events.time[some.start[s] : some.end[s]]
            bucket = np.searchsorted(EDGES, elapsed * tick / DAY, side="right") - 1
            total += np.bincount(bucket, weights=weight[:, 0].mean(0), minlength=len(EDGES))
            uniform += np.bincount(bucket, minlength=len(EDGES)) / len(bucket)
            count += np.bincount(bucket, minlength=len(EDGES))
    ends = (*EDGES[1:], np.inf)
    seen = np.maximum(count, 1)
    return list(zip(EDGES, ends, count.astype(int).tolist(), (total / seen).tolist(), (uniform / seen).tolist()))


def nearest(trained, group, name, top=5):
    """The objects whose embeddings emb(o) point the same way: (name, cosine), most alike first."""
    row, space = row_of(trained, group, name), trained.model().space
    g = space.groups[trained.schema.index(group)]
    emb, _ = space.object_forward(trained.unscaled_parameters(), g, np.arange(g.objects), np.float32(1))
    length = np.linalg.norm(emb, axis=1)
    cosine = emb @ emb[row] / np.maximum(length * length[row], 1e-30)
    cosine[[0, row]] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(top, g.objects - 2)]
    return [(str(trained.catalogues[group].objects[i]), float(cosine[i])) for i in best]
