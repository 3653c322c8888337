"""The inside of one ranking, attention averaged over many rankings, and the nearest objects."""

from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from ..datasets.log import Log
from ..datasets.packing import Batch, pack
from ..datasets.protocol import Protocol
from ..datasets.samples import Samples
from ..errors import DataError
from ..layers.embedding import Rows
from ..models.common_space import bags_of
from ..progress import progress
from ..runs.trained import Trained
from ..text import one_line
from .ranking import first_choices, moments, objects_of, places_of, target_group

DAY = 86400  # seconds
EDGES = (0, 2, 4, 8, 16, 32, 64, 128)  # days: the first days of the rows of Table 4; the last row, [128, ∞), is ours
HISTORIES = 256  # per forward pass of Table 4
TARGETS = 10  # targets that a user of the page can choose


class Inside(NamedTuple):
    """The inside of one ranking for a user. n behaviours, K spaces, D the width of the common space."""

    behaviours: list[str]  # n labels, oldest first
    elapsed: Ints  # [n] ticks to the moment of ranking
    target: str  # the object that is ranked
    label: str  # the same in words
    score: float  # its logit
    self_attention: Floats  # [K,n,n], rows sum to one: (3)
    vanilla_attention: Floats  # [K,n]: (7)
    C: Floats  # [n,D]: (6)
    e: Floats  # [D]: (7)
    batch: Batch  # of this one ranking, the target as a positive


def look_inside(
    trained: Trained, log: Log, user: str, target: str | None = None, at: int | None = None, group: str | None = None
) -> Inside:
    """Inside of the ranking of one object for a user of the log.

    target: an object of the target group, by default the model's first choice. at, group: as for `moments`.
    DataError for an unknown user, group or object.
    """
    schema, group = trained.schema, target_group(trained.schema, group)
    if target is None:
        choices = first_choices(trained, log, user, 1, group, at)
        if not choices:
            raise DataError(f"group {group!r}: no object is left to rank, because the history holds all of them")
        target = choices[0]
    (row,) = objects_of(trained, group, [target]).tolist()
    events, _, sample = moments(trained, log, places_of(log, [user]), group, at)
    batch = pack(schema, events, sample, np.array([[row]], np.int32))
    scores, cache = trained.model().forward(trained.params, batch, trained.table_scale)
    weights = cache.user.weights()
    labels = [label_of(trained, g, o) for g, o in zip(batch.group.tolist(), batch.object.tolist())]
    K, n = trained.config.spaces, len(labels)
    own, vanilla = weights.get("self", [None])[0], weights["vanilla"][0]
    return Inside(
        behaviours=labels,
        elapsed=sample.time[0] - events.time[sample.start[0] : sample.end[0]],
        target=target,
        label=label_of(trained, schema.index(group), row),
        score=float(scores[0]),
        self_attention=np.zeros((K, n, n)) if own is None else own,
        vanilla_attention=np.zeros((K, n)) if vanilla is None else vanilla[:, 0],
        C=getattr(cache.user, "C", np.zeros((n, 0))),
        e=cache.e[0],
        batch=batch,
    )


def left_out(trained: Trained, batch: Batch, show: bool = False) -> Floats:  # -> [n,T]
    """How much each logit falls without behaviour i, for a Batch of one history. No older behaviour takes its place.

    This is what a behaviour adds to a ranking. Its attention weight is something else (lesson 26).
    """
    model = trained.model()

    def score(batch: Batch) -> Floats:
        return model.forward(trained.params, batch, trained.table_scale)[0]

    whole = score(batch)
    rows = np.arange(len(batch.object))
    bar = progress(show, rows, unit=" behaviours")
    return np.array([whole - score(batch.with_behaviours(np.delete(rows, i))) for i in bar]).reshape(-1, len(whole))


def targets_of(trained: Trained, log: Log, user: str, target: str, at: int | None, group: str) -> list[str]:
    """The target that is explained, then those that the model ranks first: names, at most TARGETS."""
    best = first_choices(trained, log, user, TARGETS, group, at)
    return [target, *(name for name in best if name != target)][:TARGETS]


def arrays(trained: Trained, inside: Inside) -> dict[str, Floats]:
    """name -> array: the attention weights, C and e of a ranking, every parameter ("parameter/…") and its gradient
    ("gradient/…"). Parameters are as in the formulas; the gradients are of this ranking's loss, -log σ(f)."""
    _, gradients = trained.backend(backend="numpy", loss="point", pool=0, dropout=0.0).gradients(inside.batch)
    found = {name: getattr(inside, name) for name in ("self_attention", "vanilla_attention", "C", "e")}
    for name, w in trained.unscaled_parameters().items():
        gradient, whole = gradients.get(name, 0.0), np.zeros_like(w)
        if isinstance(gradient, Rows):
            whole[gradient.ids] = gradient.values
        else:
            whole[...] = gradient
        found[f"parameter/{name}"], found[f"gradient/{name}"] = w, whole
    return found


def label_of(trained: Trained, g: int, row: int) -> str:
    """An object in words: its group's name if there are several, its own name, and its first feature that has words."""
    group = trained.schema.groups[g]
    catalogue = trained.catalogues[group.name]
    label = [str(catalogue.objects[row])]
    for feature in group.features:
        values: Any = catalogue.features[feature.name]
        if feature.kind == "categorical":
            label.append(str(trained.tables[feature.table][values[row]]))
            break
        if feature.kind == "tokens":
            ids, _ = bags_of(values, np.array([row]))
            label.append(" ".join(trained.tables[feature.table][ids]))
            break
    return one_line((f"{group.name}: " if len(trained.schema.groups) > 1 else "") + ", ".join(label))


class ElapsedRow(NamedTuple):
    """A row of Table 4: the behaviours whose elapsed time is in [from_days, to_days)."""

    from_days: int
    to_days: float
    behaviours: int
    mean_attention: float  # over spaces, then over the behaviours
    uniform: float  # the mean of 1/n, the share that equal weights would give


def attention_by_elapsed(
    trained: Trained, log: Log, most: int | None = None, show: bool = False, tick: float = 1.0
) -> list[ElapsedRow]:
    """Table 4: mean vanilla attention by elapsed time, over the histories of the positives of training and test.

    most: how many of these rankings are averaged, evenly spaced; None: all. tick: how many seconds a tick of the log's time is.
    """
    protocol = Protocol(log, trained.config)
    samples = Samples(*(np.concatenate(columns) for columns in zip(protocol.train, protocol.test)))
    if most is not None and most < len(samples.user):
        samples = samples.take(np.linspace(0, len(samples.user) - 1, most).astype(int))
    model = trained.model()
    total, uniform, count = np.zeros(len(EDGES)), np.zeros(len(EDGES)), np.zeros(len(EDGES))
    starts = range(0, len(samples.user), HISTORIES)
    for start in progress(show, starts, unit=" batches"):
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
    columns = (EDGES, ends, count.astype(int).tolist(), (total / seen).tolist(), (uniform / seen).tolist())
    return [ElapsedRow(*row) for row in zip(*columns)]


def nearest(trained: Trained, group: str, name: str, top: int = 5) -> list[tuple[str, float]]:
    """The objects whose embeddings emb(o) have the largest cosine with that of an object: (name, cosine), largest first."""
    (row,), space = objects_of(trained, group, [name]).tolist(), trained.model().space
    g = space.groups[trained.schema.index(group)]
    emb, _ = space.object_forward(trained.unscaled_parameters(), g, np.arange(g.objects), np.float32(1))
    length = np.linalg.norm(emb, axis=1)
    cosine = emb @ emb[row] / np.maximum(length * length[row], 1e-30)
    cosine[[0, row]] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(top, g.objects - 2)]
    return [(str(trained.catalogues[group].objects[i]), float(cosine[i])) for i in best]
