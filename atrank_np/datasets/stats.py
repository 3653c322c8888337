"""Describes a data set, as Tables 1 and 2 of the paper do: `python -m atrank_np.datasets.stats DIR`."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ..arrays import Ints
from ..cli import Parser, run
from ..config import Config
from ..errors import DataError
from ..metrics import auc
from ..text import table
from .folder import add_flags, source_of
from .log import Log
from .packing import bucketize, ranges
from .protocol import Protocol
from .samples import Events, LazySamples, Samples
from .schema import Schema
from .shop_ceiling import ceiling
from .shop_world import World

CEILING = ("auc", "se", "gain", "gain_se")
CHUNK = 4096  # samples whose behaviours are counted at a time


def statistics(log: Log, cap: int = 100) -> dict[str, Any]:
    """All figures of a Log in plain JSON types; a history is its last `cap` behaviours."""
    E = len(log.time)
    protocol = Protocol(log, Config(cap=min(cap, E)))
    both: dict[str, LazySamples | Samples] = {"training": protocol.train, "test": protocol.test}
    length = {what: samples.end - samples.start for what, samples in both.items()}
    # Values are counted per table, because features may share one. Ids count as objects, and numbers have no table.
    ids = {f.table for group in log.schema.groups for f in group.features if f.kind == "id"}
    found: dict[str, Any] = {
        "users": len(log.users),
        "objects": {name: len(catalogue.objects) - 1 for name, catalogue in log.catalogues.items()},
        "features": {name: len(names) - 1 for name, names in log.tables.items() if name not in ids},
        "records": E,
        "records_per_user": E / len(log.users),
        "records_by_group": {group.name: int((log.group == g).sum()) for g, group in enumerate(log.schema.groups)},
        "history_length": _mean(np.concatenate([*length.values()])),
        "samples": {},
        "buckets": {},
        "counted": {what: n for what, n in (log.counts | protocol.counts).items() if n},
    }
    for name in log.schema.targets:
        g = log.schema.index(name)
        found["samples"][name] = {"test_users": len(np.unique(protocol.test.user[protocol.test.group == g]))}
        for what, samples in both.items():
            mine = samples.group == g
            found["samples"][name][what] = {"samples": int(mine.sum()), "history_length": _mean(length[what][mine])}
    counts = bucket_counts(log.schema, protocol.events, both.values())
    found["buckets"] = {name: counts[log.schema.index(name)].tolist() for name in log.schema.history}
    return found


def bucket_counts(schema: Schema, events: Events, all_samples: Iterable[LazySamples | Samples]) -> list[Ints]:
    """For each group, the number of its behaviours in each time bucket [buckets], over the histories of all samples.

    events: what start and end of the samples refer to. A behaviour counts once for each history that it is in.
    """
    counts: list[Ints] = [np.zeros(group.buckets, np.int64) for group in schema.groups]
    for samples in all_samples:
        for start in range(0, len(samples.user), CHUNK):
            some = samples.take(slice(start, start + CHUNK))
            length = some.end - some.start
            rows = ranges(some.start, length)
            elapsed = np.repeat(some.time, length) - events.time[rows]
            for g, group in enumerate(schema.groups):
                mine = elapsed[events.group[rows] == g]
                counts[g] += np.bincount(bucketize(mine, group.unit, group.buckets), minlength=group.buckets)
    return counts


def ceilings(log: Log, world: World) -> dict[str, dict[str, dict[str, float]]]:
    """The best AUC for every group, ranked from every history that contains this group.

    target group -> history groups, as --history takes them -> figures on the test events: auc and its standard error se; gain,
    over a history of the target group alone, and its standard error gain_se. All histories rank the same candidates.
    DataError if a group has fewer than two test samples.
    """
    names = [group.name for group in log.schema.groups]
    found: dict[str, dict[str, dict[str, float]]] = {}
    for target in names:
        others = [name for name in names if name != target]
        found[target], alone = {}, None
        for history in [(target, *more) for n in range(len(names)) for more in combinations(others, n)]:
            view = replace(log, schema=log.schema.choose(history, [target]))
            samples, candidates, _ = Protocol(view).task
            if len(candidates) < 2:
                raise DataError(f"--ceilings: expected at least two test samples of {target}, got {len(candidates)}")
            best = auc(ceiling(world, view, samples.user, samples.time, samples.group, candidates))
            alone = alone or best
            gain = best.each - alone.each
            figures = best.mean, best.se, gain.mean(), gain.std(ddof=1) / np.sqrt(len(gain))
            found[target][",".join(name for name in names if name in history)] = dict(zip(CEILING, map(float, figures)))
    return found


def _mean(values: Ints) -> float:
    return float(values.mean()) if len(values) else 0.0


def describe(found: dict[str, Any], schema: Schema) -> list[str]:
    """The figures of `statistics` for people: blocks of text, among them tables in Markdown."""
    row = [("users", found["users"]), *found["objects"].items(), *found["features"].items(), ("records", found["records"])]
    means = [f"{found[name]:.1f}" for name in ("records_per_user", "history_length")]
    names = [*(name for name, _ in row), "records of a user", "mean history length"]
    samples = []
    for name, own in found["samples"].items():
        for what in ("training", "test"):
            users = f"{own['test_users']:,}" if what == "test" else ""
            samples.append([name, what, f"{own[what]['samples']:,}", users, f"{own[what]['history_length']:.1f}"])
    blocks = [
        "The data, as in Tables 1 and 2:",
        table(*names, rows=[[*(f"{n:,}" for _, n in row), *means]]),
        "Records: " + ", ".join(f"{n:,} of {name}" for name, n in found["records_by_group"].items()),
        "Samples, and the number of behaviours in a history (at most --cap):",
        table("target", "", "samples", "users", "mean length", rows=samples),
    ]
    for name, counts in found["buckets"].items():
        unit, total = schema.group(name).unit, max(1, sum(counts))
        edges = ["0", *(str(2**k) for k in range(len(counts) - 1)), ""]
        blocks.append(f"Elapsed time of {name}, in buckets of {unit:,} ticks: {sum(counts):,} behaviours in all histories")
        rows = []
        for first, end, n in zip(edges, edges[1:], counts):
            interval = f"  [{first}, {end or '∞'})".ljust(16)
            rows.append(f"{interval}{n / total:7.1%}  {'#' * round(50 * n / total)}".rstrip())
        blocks.append("\n".join(rows))
    if found["counted"]:
        blocks.append("counted: " + "; ".join(f"{n:,} {what}" for what, n in found["counted"].items()))
    return blocks


def parser() -> ArgumentParser:
    p = Parser(
        prog="python -m atrank_np.datasets.stats",
        description="Prints what a data set holds: users, objects, feature values and records (Tables 1 and 2), training and "
        "test samples for each target group, and how old the behaviours in the histories are.",
    )
    p.add_argument("data", metavar="DIR", help="the data folder, or its name in the folder that the variable ATRANK_DATA names")
    add_flags(p)
    p.add_argument("--cap", type=int, default=100, help="a history is its last CAP behaviours (default: %(default)s)")
    p.add_argument(
        "--ceilings",
        action="store_true",
        help="for a simulated shop: the best AUC that any model can reach, for "
        "every group ranked from every set of groups; the planted gain is what the other groups of the set add",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if options.cap < 1:
        raise DataError(f"--cap: expected at least 1, got {options.cap}")
    log, world = source_of(options.data, vars(options)).read()
    if options.ceilings and world is None:
        raise DataError(f"--ceilings: expected a simulated shop, with a world.json; {options.data} has none")
    schema, found = log.schema, statistics(log, options.cap)
    blocks = ["\n".join(log.notes), *describe(found, schema)]
    if world is not None and options.ceilings:
        found["ceilings"] = ceilings(log, world)
        rows = []
        for target, own in found["ceilings"].items():
            for history, best in own.items():
                gain = f"{best['gain']:+.4f} ± {best['gain_se']:.4f}"
                rows.append([target, history, f"{best['auc']:.4f} ± {best['se']:.4f}", gain])
        blocks += [
            "The best AUC that any model can reach, ± 1 standard error, and what a history of more groups adds to it:",
            table("target", "history", "AUC", "planted gain", rows=rows),
        ]
    print(json.dumps(found, indent=2) if options.json else "\n\n".join(blocks))
    return 0


if __name__ == "__main__":
    run(main)
