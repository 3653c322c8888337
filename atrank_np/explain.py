"""Looks inside a trained run: `python -m atrank_np.explain RUN --user U`.

It draws Figures 3 and 4, makes a page of them, leaves each behaviour out to see what it does, and prints Table 4.
"""

import contextlib
import csv
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from . import cli
from .backend import NumpyBackend
from .datasets.packing import Batch, pack
from .datasets.protocol import split
from .datasets.samples import Samples
from .errors import DataError
from .evaluate import open_run
from .layers.embedding import Rows
from .models.common_space import bags_of
from .pictures import DAY, draw_self_attention, draw_vanilla_attention, write_page
from .recommend import history_of, moment, place_of, rank, target_group, visible
from .text import one_line

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
    config = replace(trained.config, backend="numpy", loss="point", dropout=0.0)
    _, gradients = NumpyBackend(trained.model(), trained.params, config, table_scale=trained.table_scale).gradients(inside.batch)
    found = {name: getattr(inside, name) for name in ("self_attention", "vanilla_attention", "C", "e")}
    for name, w in trained.meaning().items():
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
    parts = split(log, trained.config.cap, trained.config.validate)
    samples = Samples(*(np.concatenate(columns) for columns in zip(parts.train, parts.test)))
    if most is not None and most < len(samples.user):
        samples = samples.take(np.linspace(0, len(samples.user) - 1, most).astype(int))
    model = trained.model()
    total, uniform, count = np.zeros(len(EDGES)), np.zeros(len(EDGES)), np.zeros(len(EDGES))
    bar = dict(disable=None if show else True, unit=" batches", dynamic_ncols=True)  # None: no bar where there is no terminal
    for start in tqdm(range(0, len(samples.user), HISTORIES), **bar):
        some = samples.take(slice(start, start + HISTORIES))
        batch = pack(log.schema, parts.events, some, some.object[:, None])
        weights = model.forward(trained.params, batch, trained.table_scale)[1].user.weights()["vanilla"]
        for s, weight in enumerate(weights):
            if weight is None:
                continue
            elapsed = some.time[s] - parts.events.time[some.start[s] : some.end[s]]
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
    emb, _ = space.object_forward(trained.meaning(), g, np.arange(g.objects), np.float32(1))
    length = np.linalg.norm(emb, axis=1)
    cosine = emb @ emb[row] / np.maximum(length * length[row], 1e-30)
    cosine[[0, row]] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(top, g.objects - 2)]
    return [(str(trained.catalogues[group].objects[i]), float(cosine[i])) for i in best]


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.explain",
        description="Look inside a trained run: self-attention (Figure 3) and vanilla attention (Figure 4) of one user as "
        "PNG and CSV, what each behaviour adds to the logit, all that in a page to look around in (explore.html), mean attention "
        "by elapsed days (Table 4), and the nearest objects in the embedding.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--user", metavar="U", required=True, help="a user of the data that the run was trained on")
    p.add_argument("--target", metavar="OBJECT", help="the object to rank (default: the model's first choice)")
    p.add_argument("--group", help="the target group of that object (default: the first)")
    p.add_argument("--at", type=int, metavar="TIME", help="the time of ranking (default: one tick after the last behaviour)")
    p.add_argument("--out", metavar="DIR", help="where pictures and tables go (default: RUN/explain)")
    p.add_argument("--samples", type=int, default=20000, help="rankings that Table 4 averages, 0: all (default: %(default)s)")
    p.add_argument(
        "--tick",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long a tick of the log's time is, for ages and days (default: %(default)s)",
    )
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.samples < 0:
        raise DataError(f"--samples: expected at least 0, got {options.samples}")
    if not 0 < options.tick <= 1e9:
        raise DataError(f"--tick: expected seconds above 0 and at most 1e9, got {options.tick}")
    trained, log, _ = open_run(options.run, options.data)
    name = trained.config.variant or trained.config.model
    if trained.config.model != "atrank" or name == "no_self_attention":
        raise DataError(f"{options.run}: explain draws self-attention, and {name} has none")
    inside = look_inside(trained, log, options.user, options.target, options.at, options.group)
    if not inside.behaviours:
        raise DataError(f"user {options.user!r}: no behaviour before the time of ranking, so there is no attention to draw")
    out = Path(options.out or Path(options.run) / "explain")
    out.mkdir(parents=True, exist_ok=True)
    group = target_group(trained.schema, options.group)
    targets = targets_of(trained, log, options.user, inside.target, options.at, group)
    rows = [row_of(trained, group, name) for name in targets]
    effects = left_out(trained, inside.batch.with_targets(trained.schema.index(group), rows), show=True).T
    insides = [inside, *(look_inside(trained, log, options.user, name, options.at, group) for name in targets[1:])]
    draw_self_attention(out / "self_attention.png", inside, options.tick)
    draw_vanilla_attention(out / "vanilla_attention.png", inside, effects[0], options.tick)
    write_page(out / "explore.html", options.user, insides, effects, options.tick)
    K, n = inside.vanilla_attention.shape
    spaces = range(1, K + 1)
    write_csv(
        out / "self_attention.csv",
        ("space", "behaviour", *range(1, n + 1)),
        [(k + 1, i + 1, *inside.self_attention[k, i].tolist()) for k in range(K) for i in range(n)],
    )
    write_csv(
        out / "vanilla_attention.csv",
        ("behaviour", "label", "elapsed", *(f"space {k}" for k in spaces), "mean", "effect"),
        [(i + 1, inside.behaviours[i], int(inside.elapsed[i]), *w.tolist(), float(w.mean()), float(effects[0, i]))
         for i, w in enumerate(inside.vanilla_attention.T)],
    )  # fmt: skip
    table = attention_by_elapsed(trained, log, options.samples or None, show=True, tick=options.tick)
    write_csv(out / "attention_by_elapsed.csv", ("from_days", "to_days", "behaviours", "mean_attention", "uniform"), table)
    alike = nearest(trained, group, inside.target)
    write_csv(out / "nearest.csv", ("object", "nearest", "cosine"), [(inside.target, *row) for row in alike])
    np.savez(out / "arrays.npz", **arrays(trained, inside))
    print(f"user {options.user}: {n} behaviours; {inside.label} is ranked with logit {inside.score:.3f}")
    most = sorted(range(n), key=lambda i: -abs(effects[0, i]))[:3]
    print("what matters most, how far the logit falls without it: "
          + "; ".join(f"{i + 1} {inside.behaviours[i]} {effects[0, i]:+.3f}" for i in most))  # fmt: skip
    print("Table 4: mean vanilla attention by elapsed days, beside the share that equal weights would give")
    for first, last, count, mean, uniform in table:
        label = f"[{first}, {'∞' if last == np.inf else int(last)})"
        shares = f"{mean:.4f}   uniform {uniform:.4f}   ratio {mean / uniform:.2f}" if count else "-"
        print(f"  {label:<10} {shares}   ({count})")
    print(f"nearest to {inside.label}: " + ", ".join(f"{one_line(name)} {cosine:.2f}" for name, cosine in alike))
    print(f"written to {out}: explore.html, a page to look around in; self_attention.png, vanilla_attention.png, their numbers "
          "as CSV, and arrays.npz with attention, parameters and this ranking's gradients by name")  # fmt: skip
    return 0


if __name__ == "__main__":
    cli.run(main)
