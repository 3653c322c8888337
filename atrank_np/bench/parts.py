"""The parts of `bench`: each adds to the report and returns its tables in Markdown."""

import csv
import itertools
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..config import MODELS
from ..datasets.electronics_shaped import ITEMS, electronics_shaped
from ..datasets.reading import read_log
from ..text import table
from .compiling import part_compile
from .workers import OURS, Fault, workers

TOLERANCE = 1e-5  # of the largest score, in float32
RATIOS = {"numpy": "ratio_numpy", "torch eager": "ratio_eager", "torch best": "ratio_best_torch"}
FEW_USERS = 20_000  # of --quick: enough for a pool of the largest batches, with the whole catalogue


def assert_equal(scores):
    """name -> scores: all equal to the first's within TOLERANCE of its largest, else Fault."""
    (first, expected), *others = scores.items()
    for name, got in others:
        error = np.abs(got - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE:  # nor is NaN
            raise Fault(f"{name} and {first} do not compute the same: their scores differ by {error:.1e} of the largest")


def take_turns(measure, others, options):
    """A B A C A B A C …: "numba" before each of the others. measure: name -> a rate.

    -> {name: median rate}, {name: (median, quartile, quartile) of numba's rate / its}
    """
    rates, ratios, begin = defaultdict(list), defaultdict(list), time.perf_counter()
    for turn in range(options.rounds):
        if turn and time.perf_counter() - begin > options.patience:
            break
        for other in others:
            a, b = measure("numba"), measure(other)
            rates["numba"].append(a)
            rates[other].append(b)
            ratios[other].append(a / b)
    quartiles = {name: np.percentile(values, [50, 25, 75]).tolist() for name, values in ratios.items()}
    return {name: float(np.median(values)) for name, values in rates.items()}, quartiles


def put(report, keys, value):
    """report[key][key]… = value; keys are strings, as JSON wants them."""
    for key in keys[:-1]:
        report = report.setdefault(str(key), {})
    report[str(keys[-1])] = value


def part_train(report, options):
    """Training steps, for every batch size and number of threads."""
    with workers(["numpy"], 1, users=1000) as alone:
        peak = alone["numpy"].ask("matmul_peak")
    report["matmul_gflops_per_core"] = peak / 1e9
    names, rows = [*OURS, *options.torch], []
    for batch, threads in itertools.product(options.batch, options.threads):
        cell = (batch, threads)
        with workers(names, threads, batch=batch, users=options.users) as team:
            for trial in zip(*(worker.ask("trial") for worker in team.values())):
                assert_equal(dict(zip(team, trial)))
            report["compile_seconds"] = max(report.get("compile_seconds", 0.0), team["numba"].ask("compile_seconds"))
            measure = lambda name, team=team: team[name].ask("window", seconds=options.window)
            rates, ratios = take_turns(measure, [name for name in names if name != "numba"], options)
            packing, flops = team["numba"].ask("packing")
            memory = {name: worker.ask("peak_rss_mb") for name, worker in team.items()}
        step = batch / rates["numba"]
        put(report, ("packing_share", *cell), packing / (packing + step))
        for name in names:
            put(report, ("samples_per_second", *cell, name), rates[name])
            put(report, ("peak_rss_mb", *cell, name), memory[name])
            put(report, ("share_of_matmul_peak", *cell, name), flops * rates[name] / batch / peak / threads)
        for name, (median, low, high) in ratios.items():
            put(report, (RATIOS[name], *cell), median)
            put(report, (f"{RATIOS[name]}_quartiles", *cell), [low, high])
        for name in names:
            ratio = "" if name == "numba" else "{:.1f} ({:.1f} to {:.1f})".format(*ratios[name])
            share = report["share_of_matmul_peak"][str(batch)][str(threads)][name]
            rows.append([batch, threads, name, f"{rates[name]:,.0f}", ratio, f"{share:.0%}", f"{memory[name]:.0f}"])
    shares = [f"{share:.0%}" for per_batch in report["packing_share"].values() for share in per_batch.values()]
    return [
        "Training steps; their batches are made before. Ratio: how many times as fast numba is (median of pairs, quartiles).",
        table("batch", "threads", "", "samples/s", "numba's ratio", "of the matrix-product peak", "peak MB", rows=rows),
        f"One core multiplies matrices at {peak / 1e9:.0f} GFLOP/s. Packing takes {', '.join(shares)} of packing and step "
        f"(numba, in the order above). Compiling, or loading what is compiled: {report['compile_seconds']:.1f} s.",
    ]


def part_models(report, options):
    """Training steps of ATRank's competitors, beside PyTorch's own."""
    names, rows, threads = [*OURS, *(name for name in options.torch if name == "torch best")], [], max(options.threads)
    for model in [name for name in MODELS if name != "atrank"]:
        with workers(names, threads, users=FEW_USERS, model=model) as team:
            for trial in zip(*(worker.ask("trial") for worker in team.values())):
                assert_equal(dict(zip(team, trial)))
            measure = lambda name, team=team: team[name].ask("window", seconds=options.window)
            rates, ratios = take_turns(measure, [name for name in names if name != "numba"], options)
        for name in names:
            ratio = "" if name == "numba" else "{:.1f} ({:.1f} to {:.1f})".format(*ratios[name])
            put(report, ("models", model, "samples_per_second", name), rates[name])
            if ratio:
                put(report, ("models", model, RATIOS[name]), ratios[name][0])
            rows.append([model, name, f"{rates[name]:,.0f}", ratio])
    return [
        f"Training steps of the competitors, batch 32, {threads} threads.",
        table("model", "", "samples/s", "numba's ratio", rows=rows),
    ]


def part_rank(report, options):
    """The scores of the whole catalogue for one user, exactly."""
    ways = {"numba": {}, "numpy": {}} | {name: {} for name in options.torch}
    names, rows = list(ways), []
    for threads in options.threads:
        with workers(names, threads, users=FEW_USERS) as team:
            count = iter(range(10**9))

            def measure(name, team=team, count=count):
                worker, _, keep = name.partition(", ")
                how = dict(keep=True) if keep else {}
                return 1 / team[worker].ask("rank", number=next(count) // 2 % 1000, seconds=options.window / 2, **how)[0]

            for number in range(options.checks):
                assert_equal({name: worker.ask("rank", number=number)[1] for name, worker in team.items()})
            others = names[1:]
            if "torch best" in others:
                others.append("torch best, items kept")
                team["torch best"].ask("rank", number=0, keep=True)
            rates, ratios = {}, {}
            for other in others:  # each for itself: the slowest alone would use up all patience
                more = take_turns(measure, [other], options)
                rates, ratios = more[0] | rates, ratios | more[1]
        for name in filter(rates.get, RANKING):
            rate = rates[name]
            put(report, ("ranking", threads, "milliseconds", name), 1e3 / rate)
            ratio = ""
            if name in ratios:
                put(report, ("ranking", threads, "ratio", name), ratios[name][0])
                ratio = "{:.1f} ({:.1f} to {:.1f})".format(*ratios[name])
            rows.append([threads, RANKING[name], f"{1e3 / rate:.1f}", ratio])
    return [f"All {ITEMS:,} objects ranked exactly for one user.", table("threads", "", "ms", "numba's ratio", rows=rows)]


RANKING = {
    "numba": "numba",
    "numpy": "numpy",
    "torch eager": "torch, pair by pair",
    "torch best": "torch, history encoded once",
    "torch best, items kept": "torch, history encoded once, the items' side once for all users",
}


def part_groups(report, options):
    """Training steps on several groups, all ranked, beside the same rows and targets as if all were of the first group."""
    threads, rows = max(options.threads), []
    for batch in options.batch:
        with workers(["numba"], threads, batch=batch, data=options.data) as team:
            measure = lambda name, team=team: team["numba"].ask("window", seconds=options.window, one_group=name != "numba")
            rates, ratios = take_turns(measure, ["one group"], options)
        times = (1 / np.array(ratios["one group"])).tolist()  # of rates, upside down
        median, high, low = times
        put(report, ("groups", batch), dict(samples_per_second=rates, time_ratio=median, time_ratio_quartiles=[low, high]))
        row = [f"{rates[name]:,.0f}" for name in ("numba", "one group")]
        rows.append([batch, *row, f"{median:.2f} ({low:.2f} to {high:.2f})"])
    name = options.data.resolve().name
    return [
        f"Several groups of objects, {name}, {threads} threads: samples/s, and the time for the same rows.",
        table("batch", "its groups", "as one group", "time of groups / of one", rows=rows),
    ]


def part_epoch(report, options):
    """A whole epoch with packing and negatives, by numba alone: the others would take minutes to an hour."""
    threads, rows = max(options.threads), []
    for batch in options.batch:
        with workers(["numba"], threads, batch=batch, users=options.users) as team:
            seconds, samples = team["numba"].ask("epoch")
            memory = team["numba"].ask("peak_rss_mb")
        put(report, ("epoch", batch), dict(seconds=seconds, samples=samples, peak_rss_mb=memory))
        rows.append([batch, f"{samples:,}", f"{seconds:.1f}", f"{memory:.0f}"])
    return [f"A whole epoch, {threads} threads.", table("batch", "samples", "seconds", "peak MB", rows=rows)]


def part_read(report, options):
    """Reading a log from disk."""
    log = electronics_shaped(options.users)
    with tempfile.TemporaryDirectory() as folder:
        write_log(log, Path(folder))
        begin = time.perf_counter()
        read_log(folder)
        seconds = time.perf_counter() - begin
    report["reading"] = dict(events=len(log.object), events_per_second=len(log.object) / seconds)
    return [f"Reading {len(log.object):,} events and {ITEMS:,} objects: {len(log.object) / seconds:,.0f} events/s."]


def write_log(log, folder):
    """events.csv and items.csv."""
    user = np.repeat(log.users, np.diff(log.offsets))
    names, items = np.array(log.actions), log.catalogues["items"]
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "object", "action", "time"])
        writer.writerows(zip(user, items.objects[log.object], names[log.action], log.time.tolist()))
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["object", "category"])
        writer.writerows(zip(items.objects[1:], log.tables["category"][items.features["category"][1:]]))


def part_scaling(report, options):
    """The cost of a sample against the length of its history, and against the number of objects."""
    names, rows, threads = ["numba", *options.torch], [], max(options.threads)
    axes = {"length": options.lengths, "items": options.vocabularies}
    for axis, values in axes.items():
        for value in values:
            with workers(names, threads, **(dict(users=1000) | {axis: value})) as team:
                rates = [[worker.ask("window", seconds=options.window) for worker in team.values()] for _ in range(4)]
                for name, rate in zip(team, np.median(rates[1:], axis=0).tolist()):  # the first turn warms caches up
                    put(report, ("scaling", axis, value, name), 1e6 / rate)
            cost = report["scaling"][axis][str(value)]
            rows.append([axis, f"{value:,}", *(f"{cost[name]:.0f}" for name in names)])
    if options.plot:
        draw(report["scaling"], options.plot)
    return [f"Microseconds for a sample, batch 32, {threads} threads.", table("", "", *names, rows=rows)]


def draw(scaling, path):
    """Two panels: microseconds for a sample against behaviours and against objects."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True, layout="constrained")
    labels = {"length": "behaviours in the history", "items": "objects in the catalogue"}
    for axes, (axis, costs) in zip(panels, scaling.items()):
        for name in next(iter(costs.values())):
            axes.plot([int(value) for value in costs], [cost[name] for cost in costs.values()], marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel=labels[axis])
        axes.set_xticks([int(value) for value in costs], [f"{int(value):,}" for value in costs], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("µs for a training sample")
    panels[0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


PARTS = {"train": part_train, "models": part_models, "rank": part_rank, "groups": part_groups, "epoch": part_epoch,
         "read": part_read, "scaling": part_scaling, "compile": part_compile}  # fmt: skip
