"""Tables 1 and 2 for any data set, its samples and its time buckets: `python -m atrank_np.datasets.stats DIR`."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..cli import Parser, run
from ..config import Config
from ..errors import DataError
from ..metrics import auc
from ..text import table
from .folder import DataSource
from .packing import bucketize, ranges
from .protocol import Protocol
from .shop_ceiling import ceiling

CEILING = ("auc", "se", "gain", "gain_se")
CHUNK = 4096  # samples whose behaviours are looked at together


def statistics(log, cap=100):
    """All figures of a Log, as plain JSON types."""
    E = len(log.time)
    protocol = Protocol(log, Config(cap=min(cap, E)))
    both = [
        (name, samples, samples.end - samples.start) for name, samples in (("training", protocol.train), ("test", protocol.test))
    ]
    # Names, not features: features that share a table share its names. Ids are the objects, numbers have no table.
    ids = {f.table for group in log.schema.groups for f in group.features if f.kind == "id"}
    found = {
        "users": len(log.users),
        "objects": {name: len(catalogue.objects) - 1 for name, catalogue in log.catalogues.items()},
        "features": {name: len(names) - 1 for name, names in log.tables.items() if name not in ids},
        "records": E,
        "records_per_user": E / len(log.users),
        "records_by_group": {group.name: int((log.group == g).sum()) for g, group in enumerate(log.schema.groups)},
        "history_length": _mean(np.concatenate([length for _, _, length in both])),
        "samples": {},
        "buckets": {},
        "counted": {what: n for what, n in (log.counts | protocol.counts).items() if n},
    }
    for name in log.schema.targets:
        g = log.schema.index(name)
        found["samples"][name] = {"test_users": len(np.unique(protocol.test.user[protocol.test.group == g]))} | {
            what: {"samples": int((samples.group == g).sum()), "history_length": _mean(length[samples.group == g])}
            for what, samples, length in both}  # fmt: skip
    counts = bucket_counts(log.schema, protocol.events, [samples for _, samples, _ in both])
    found["buckets"] = {name: counts[log.schema.index(name)].tolist() for name in log.schema.history}
    return found


def bucket_counts(schema, events, all_samples):
    """For every group [buckets]: how many behaviours of the histories of all Samples fall in each, at the time of ranking."""
    counts = [np.zeros(group.buckets, np.int64) for group in schema.groups]
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


def ceilings(log, world):
    """{target group: {history groups, as --history takes them: best AUC on its test events, its standard error, its gain
    over the target group alone, and the standard error of that: the candidates are the same}}."""
    names, found = [group.name for group in log.schema.groups], {}
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


def _mean(values):
    return float(values.mean()) if len(values) else 0.0


def describe(found, schema):
    """The figures as a list of tables in Markdown, and lines."""
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
        "Samples, and the behaviours in a history (at most the cap's):",
        table("target", "", "samples", "users", "mean length", rows=samples),
    ]
    for name, counts in found["buckets"].items():
        unit, total = schema.group(name).unit, max(1, sum(counts))
        edges = ["0", *(str(2**k) for k in range(len(counts) - 1)), ""]
        blocks.append(f"Elapsed time of {name}, in buckets of {unit:,} ticks: {sum(counts):,} behaviours in all histories")
        rows = [f"  [{a}, {b or '∞'})".ljust(16) + f"{n / total:7.1%}  {'#' * round(50 * n / total)}".rstrip()
                for a, b, n in zip(edges, edges[1:], counts)]  # fmt: skip
        blocks.append("\n".join(rows))
    if found["counted"]:
        blocks.append("counted: " + "; ".join(f"{n:,} {what}" for what, n in found["counted"].items()))
    return blocks


def parser():
    p = Parser(
        prog="python -m atrank_np.datasets.stats",
        description="Print what a data set holds: users, objects, feature values, records (Tables 1 and 2), training and "
        "test samples for each target group, and how old the behaviours in the histories are.",
    )
    p.add_argument("data", metavar="DIR", help="the data folder, or its name below the folder in the variable ATRANK_DATA")
    p.add_argument("--features", metavar="A,B", help="these features of the objects only")
    p.add_argument("--history", metavar="G,H", help="groups that a history is made of (default: the schema's)")
    p.add_argument("--target", metavar="G,H", help="groups that are ranked (default: the schema's)")
    p.add_argument("--cap", type=int, default=100, help="behaviours of a history that are looked at (default: %(default)s)")
    p.add_argument(
        "--ceilings",
        action="store_true",
        help="of a simulated shop: the best AUC that any model can reach, for "
        "every group ranked from every set of groups; what a set adds is the planted gain",
    )
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.cap < 1:
        raise DataError(f"--cap: expected at least 1, got {options.cap}")
    given = {name: getattr(options, name) for name in ("features", "history", "target")}
    listed = {name: None if text is None else list(dict.fromkeys(text.split(","))) for name, text in given.items()}
    log, world = DataSource(options.data, **listed).read()
    if options.ceilings and world is None:
        raise DataError(f"--ceilings: expected a simulated shop, with a world.json; {options.data} has none")
    schema, found = log.schema, statistics(log, options.cap)
    blocks = describe(found, schema)
    if options.ceilings:
        found["ceilings"] = ceilings(log, world)
        rows = [[target, history, f"{best['auc']:.4f} ± {best['se']:.4f}", f"{best['gain']:+.4f} ± {best['gain_se']:.4f}"]
                for target, own in found["ceilings"].items() for history, best in own.items()]  # fmt: skip
        blocks += [
            "The best AUC that any model can reach, ± 1 standard error, and what a history of more groups adds to it:",
            table("target", "history", "AUC", "planted gain", rows=rows),
        ]
    print(json.dumps(found, indent=2) if options.json else "\n\n".join(blocks))
    return 0


if __name__ == "__main__":
    run(main)
