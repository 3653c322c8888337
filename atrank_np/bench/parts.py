"""The parts of `bench`: each adds to the report and returns its tables in Markdown."""

import argparse
import csv
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config import MODELS
from ..datasets.electronics_shaped import ITEMS, electronics_shaped
from ..datasets.log import Log
from ..datasets.reading import read_log
from ..evaluation.plots import new_figure, picture
from ..text import table
from .compiling import part_compile
from .turns import Ratio, assert_equal, assert_equal_trials, take_turns, window
from .workers import OURS, Worker, workers

RATIOS = {"numpy": "ratio_numpy", "torch eager": "ratio_eager", "torch best": "ratio_best_torch"}
FEW_USERS = 20_000  # of --quick: enough for a pool of the largest batches, with the whole catalogue

Report = dict[str, Any]  # what --json writes


def put(report: Report, keys: Sequence[object], value: object) -> None:
    """report[key][key]… = value; keys become strings, as JSON has no others."""
    for key in keys[:-1]:
        report = report.setdefault(str(key), {})
    report[str(keys[-1])] = value


def part_train(report: Report, options: argparse.Namespace) -> list[str]:
    """Training steps, for every batch size and number of threads."""
    with workers(["numpy"], 1, users=1000) as alone:
        peak = alone["numpy"].ask("matmul_peak")
    report["matmul_gflops_per_core"] = peak / 1e9
    names, rows = [*OURS, *options.torch], []
    for batch, threads in itertools.product(options.batch, options.threads):
        cell = (batch, threads)
        with workers(names, threads, batch=batch, users=options.users) as team:
            assert_equal_trials(team)
            report["compile_seconds"] = max(report.get("compile_seconds", 0.0), team["numba"].ask("compile_seconds"))
            rates, ratios = take_turns(
                partial(window, team, options.window), [name for name in names if name != "numba"], options
            )
            packing, flops = team["numba"].ask("packing")
            memory = {name: worker.ask("peak_rss_mb") for name, worker in team.items()}
        step = batch / rates["numba"]
        put(report, ("packing_share", *cell), packing / (packing + step))
        for name in names:
            put(report, ("samples_per_second", *cell, name), rates[name])
            put(report, ("peak_rss_mb", *cell, name), memory[name])
            put(report, ("share_of_matmul_peak", *cell, name), flops * rates[name] / batch / peak / threads)
        for name, ratio in ratios.items():
            put(report, (RATIOS[name], *cell), ratio.median)
            put(report, (f"{RATIOS[name]}_quartiles", *cell), [ratio.low, ratio.high])
        for name in names:
            share = report["share_of_matmul_peak"][str(batch)][str(threads)][name]
            in_words = [f"{rates[name]:,.0f}", str(ratios.get(name, "")), f"{share:.0%}", f"{memory[name]:.0f}"]
            rows.append([batch, threads, name, *in_words])
    shares = [f"{share:.0%}" for per_batch in report["packing_share"].values() for share in per_batch.values()]
    return [
        "Training steps, on batches made before. Ratio: how many times as fast numba is (median over pairs, quartiles).",
        table("batch", "threads", "", "samples/s", "numba's ratio", "of the matrix-product peak", "peak MB", rows=rows),
        f"One core multiplies matrices at {peak / 1e9:.0f} GFLOP/s. Packing takes {', '.join(shares)} of packing and step "
        f"(numba, in the order above). Compiling, or loading what is compiled: {report['compile_seconds']:.1f} s.",
    ]


def part_models(report: Report, options: argparse.Namespace) -> list[str]:
    """Training steps of ATRank's competitors, beside PyTorch's own."""
    names, rows, threads = [*OURS, *(name for name in options.torch if name == "torch best")], [], max(options.threads)
    for model in [name for name in MODELS if name != "atrank"]:
        with workers(names, threads, users=FEW_USERS, model=model) as team:
            assert_equal_trials(team)
            rates, ratios = take_turns(
                partial(window, team, options.window), [name for name in names if name != "numba"], options
            )
        for name in names:
            put(report, ("models", model, "samples_per_second", name), rates[name])
            if name in ratios:
                put(report, ("models", model, RATIOS[name]), ratios[name].median)
            rows.append([model, name, f"{rates[name]:,.0f}", str(ratios.get(name, ""))])
    return [
        f"Training steps of the competitors, batch 32, {threads} threads.",
        table("model", "", "samples/s", "numba's ratio", rows=rows),
    ]


def part_rank(report: Report, options: argparse.Namespace) -> list[str]:
    """The scores of the whole catalogue for one user, exactly."""
    names, rows = [*reversed(OURS), *options.torch], []
    for threads in options.threads:
        with workers(names, threads, users=FEW_USERS) as team:
            rates, ratios = _ranking_rates(team, options)
        for name in filter(rates.get, RANKING):
            put(report, ("ranking", threads, "milliseconds", name), 1e3 / rates[name])
            if name in ratios:
                put(report, ("ranking", threads, "ratio", name), ratios[name].median)
            rows.append([threads, RANKING[name], f"{1e3 / rates[name]:.1f}", str(ratios.get(name, ""))])
    return [f"All {ITEMS:,} objects ranked exactly for one user.", table("threads", "", "ms", "numba's ratio", rows=rows)]


def _ranking_rates(team: dict[str, Worker], options: argparse.Namespace) -> tuple[dict[str, float], dict[str, Ratio]]:
    """Rankings per second of each contender, "numba" first, and the ratios. Fault unless all give the same scores."""
    for number in range(options.checks):
        assert_equal({name: worker.ask("rank", number=number)[1] for name, worker in team.items()})
    others = list(team)[1:]
    if "torch best" in others:
        others.append("torch best, items kept")
        team["torch best"].ask("rank", number=0, keep=True)
    turns = itertools.count()

    def measure(name: str) -> float:
        worker, _, keep = name.partition(", ")
        how = dict(keep=True) if keep else {}
        number = next(turns) // 2 % 1000  # both of a pair rank for the same user
        seconds, _ = team[worker].ask("rank", number=number, seconds=options.window / 2, **how)
        return float(1 / seconds)

    rates: dict[str, float] = {}
    ratios: dict[str, Ratio] = {}
    for other in others:  # one by one: together, the slowest would use up the time of all
        own_rates, own_ratios = take_turns(measure, [other], options)
        rates = own_rates | rates
        ratios |= own_ratios
    return rates, ratios


RANKING = {
    "numba": "numba",
    "numpy": "numpy",
    "torch eager": "torch, pair by pair",
    "torch best": "torch, history encoded once",
    "torch best, items kept": "torch, history encoded once, the items' side once for all users",
}


def part_groups(report: Report, options: argparse.Namespace) -> list[str]:
    """Training steps on several groups, all ranked, beside the same rows and targets as if all were of the first group."""
    threads, rows = max(options.threads), []
    for batch in options.batch:
        with workers(["numba"], threads, batch=batch, data=options.data) as team:
            rates, ratios = take_turns(partial(_group_window, team["numba"], options.window), ["one group"], options)
        median, high, low = (1 / rate for rate in ratios["one group"])  # times, so the quartiles change places
        put(report, ("groups", batch), dict(samples_per_second=rates, time_ratio=median, time_ratio_quartiles=[low, high]))
        row = [f"{rates[name]:,.0f}" for name in ("numba", "one group")]
        rows.append([batch, *row, f"{median:.2f} ({low:.2f} to {high:.2f})"])
    name = options.data.resolve().name
    return [
        f"Several groups of objects, {name}, {threads} threads: samples/s, and the time for the same rows.",
        table("batch", "its groups", "as one group", "time of groups / of one", rows=rows),
    ]


def _group_window(worker: Worker, seconds: float, name: str) -> float:
    """Training samples per second: name "numba" with the groups as they are, "one group" with all rows of the first."""
    rate: float = worker.ask("window", seconds=seconds, one_group=name != "numba")
    return rate


def part_epoch(report: Report, options: argparse.Namespace) -> list[str]:
    """A whole epoch with packing and negatives, by numba only: the others would take from minutes to an hour."""
    threads, rows = max(options.threads), []
    for batch in options.batch:
        with workers(["numba"], threads, batch=batch, users=options.users) as team:
            seconds, samples = team["numba"].ask("epoch")
            memory = team["numba"].ask("peak_rss_mb")
        put(report, ("epoch", batch), dict(seconds=seconds, samples=samples, peak_rss_mb=memory))
        rows.append([batch, f"{samples:,}", f"{seconds:.1f}", f"{memory:.0f}"])
    return [f"A whole epoch, {threads} threads.", table("batch", "samples", "seconds", "peak MB", rows=rows)]


def part_read(report: Report, options: argparse.Namespace) -> list[str]:
    """Reading a log from disk."""
    log = electronics_shaped(options.users)
    with tempfile.TemporaryDirectory() as folder:
        write_log(log, Path(folder))
        begin = time.perf_counter()
        read_log(folder)
        seconds = time.perf_counter() - begin
    report["reading"] = dict(events=len(log.object), events_per_second=len(log.object) / seconds)
    return [f"Reading {len(log.object):,} events and {ITEMS:,} objects: {len(log.object) / seconds:,.0f} events/s."]


def write_log(log: Log, folder: Path) -> None:
    """Writes events.csv and items.csv."""
    user = np.repeat(log.users, np.diff(log.offsets))
    names, items = np.array(log.actions), log.catalogues["items"]
    with (folder / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "object", "action", "time"])
        writer.writerows(zip(user, items.objects[log.object], names[log.action], log.time.tolist()))
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["object", "category"])
        writer.writerows(zip(items.objects[1:], log.tables["category"][items.codes("category")[1:]]))


def part_scaling(report: Report, options: argparse.Namespace) -> list[str]:
    """The cost of a sample against the length of its history, and against the number of objects."""
    names, rows, threads = ["numba", *options.torch], [], max(options.threads)
    axes = {"length": options.lengths, "items": options.vocabularies}
    for axis, values in axes.items():
        for value in values:
            with workers(names, threads, users=1000, **{axis: value}) as team:
                rates = [[worker.ask("window", seconds=options.window) for worker in team.values()] for _ in range(4)]
                for name, rate in zip(team, np.median(rates[1:], axis=0).tolist()):  # the first turn fills the caches
                    put(report, ("scaling", axis, value, name), 1e6 / rate)
            cost = report["scaling"][axis][str(value)]
            rows.append([axis, f"{value:,}", *(f"{cost[name]:.0f}" for name in names)])
    if options.plot:
        draw(Path(options.plot), report["scaling"])
    return [f"Microseconds for a sample, batch 32, {threads} threads.", table("", "", *names, rows=rows)]


@picture
def draw(scaling: dict[str, dict[str, dict[str, float]]]) -> Any:
    """Two panels: microseconds for a sample against behaviours and against objects."""
    figure = new_figure(9, 3.8)
    panels = figure.subplots(1, 2, sharey=True)
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
    return figure


PARTS: dict[str, Callable[[Report, argparse.Namespace], list[str]]] = {
    "train": part_train,
    "models": part_models,
    "rank": part_rank,
    "groups": part_groups,
    "epoch": part_epoch,
    "read": part_read,
    "scaling": part_scaling,
    "compile": part_compile,
}
