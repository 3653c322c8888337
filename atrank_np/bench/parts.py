"""The parts of `bench`: each adds to the report and returns its tables in Markdown."""

import argparse
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config import MODELS
from ..evaluation.plots import new_figure, picture
from ..text import table
from .compiling import part_compile
from .many_ranks import part_mpi
from .ranking import part_all, part_rank
from .reading import part_read
from .turns import FEW_USERS, Report, put, take_turns, training_rates
from .workers import OURS, Worker, workers

RATIOS = {"numpy": "ratio_numpy", "torch eager": "ratio_eager", "torch best": "ratio_best_torch"}


def part_train(report: Report, options: argparse.Namespace) -> list[str]:
    """Training steps, for every batch size and number of threads."""
    with workers(["numpy"], 1, users=1000) as alone:
        peak = alone["numpy"].ask("matmul_peak")
    report["matmul_gflops_per_core"] = peak / 1e9
    names, rows = [*OURS, *options.torch], []
    for batch, threads in itertools.product(options.batch, options.threads):
        cell = (batch, threads)
        with workers(names, threads, batch=batch, users=options.users) as team:
            rates, ratios = training_rates(team, options)
            report["compile_seconds"] = max(report.get("compile_seconds", 0.0), team["numba"].ask("compile_seconds"))
            packing, flops = team["numba"].ask("packing")
            memory = {name: worker.ask("peak_rss_mb") for name, worker in team.items()}
        step = batch / rates["numba"]
        put(report, ("packing_share", *cell), packing / (packing + step))
        for name, ratio in ratios.items():
            put(report, (RATIOS[name], *cell), ratio.median)
            put(report, (f"{RATIOS[name]}_quartiles", *cell), [ratio.low, ratio.high])
        for name in names:
            share = flops * rates[name] / batch / peak / threads
            put(report, ("samples_per_second", *cell, name), rates[name])
            put(report, ("peak_rss_mb", *cell, name), memory[name])
            put(report, ("share_of_matmul_peak", *cell, name), share)
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
    """Training steps of ATRank's competitors, and of the same models in PyTorch."""
    names, rows, threads = [*OURS, *(name for name in options.torch if name == "torch best")], [], max(options.threads)
    for model in [name for name in MODELS if name != "atrank"]:
        with workers(names, threads, users=FEW_USERS, model=model) as team:
            rates, ratios = training_rates(team, options)
        for name in names:
            put(report, ("models", model, "samples_per_second", name), rates[name])
            if name in ratios:
                put(report, ("models", model, RATIOS[name]), ratios[name].median)
            rows.append([model, name, f"{rates[name]:,.0f}", str(ratios.get(name, ""))])
    return [
        f"Training steps of the competitors, batch 32, {threads} threads.",
        table("model", "", "samples/s", "numba's ratio", rows=rows),
    ]


def part_groups(report: Report, options: argparse.Namespace) -> list[str]:
    """Training steps on several groups, all ranked, and on the same rows and targets as if all were of the first group."""
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
    "all": part_all,
    "groups": part_groups,
    "epoch": part_epoch,
    "read": part_read,
    "scaling": part_scaling,
    "compile": part_compile,
    "mpi": part_mpi,
}
