"""The parts of `bench` that rank the whole catalogue: for one user, and the best objects for many."""

import argparse
import itertools

from ..arrays import Floats
from ..datasets.electronics_shaped import ITEMS
from ..text import table
from .turns import FEW_USERS, Ratio, Report, assert_equal, put, take_turns
from .workers import OURS, TOP, Worker, workers


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
    for other in others:  # one by one: else the slowest would use the time of all
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


def part_all(report: Report, options: argparse.Namespace) -> list[str]:
    """The best objects for many users, exactly, as `recommend --all` finds them."""
    names, rows = ["numba", *(name for name in options.torch if name == "torch best")], []
    with workers(["numpy"], 1, users=1000) as alone:
        peak = alone["numpy"].ask("matmul_peak")
    for threads in options.threads:
        with workers(names, threads, users=FEW_USERS) as team:
            assert_equal({name: _top(team, name, options.checks)[2] for name in team})  # this also makes what is kept
            rates, ratios = take_turns(
                lambda name: options.ranked / _top(team, name, options.ranked)[0], names[1:] or names, options
            )
            flops = _top(team, "numba", options.ranked)[1]
        ratios.pop("numba", None)  # numba alone was measured against itself
        for name in names:
            share = rates[name] * flops / options.ranked / peak / threads
            put(report, ("all", threads, name), {"milliseconds": 1e3 / rates[name], "share_of_matmul_peak": share})
            rows.append([threads, name, f"{1e3 / rates[name]:.1f}", str(ratios.get(name, "")), f"{share:.0%}"])
        if "torch best" in ratios:
            put(report, ("all", threads, "ratio"), ratios["torch best"].median)
    return [
        f"The {TOP} best of {ITEMS:,} objects for each user of a block, exactly; torch: history encoded once, items' side kept.",
        table("threads", "", "ms for a user", "numba's ratio", "of the matrix-product peak", rows=rows),
    ]


def _top(team: dict[str, Worker], name: str, users: int) -> tuple[float, float, Floats]:
    """As Site.top; torch keeps what is the same for all users."""
    how = {"keep": True} if name == "torch best" else {}
    seconds, flops, scores = team[name].ask("top", users=users, **how)
    return seconds, flops, scores
