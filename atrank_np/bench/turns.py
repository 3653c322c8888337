"""How the contenders of `bench` are compared: equal scores first, then rates in turns."""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Floats
from .workers import Fault, Worker

TOLERANCE = 1e-5  # of the largest score, in float32
FEW_USERS = 20_000  # of --quick: enough for a pool of the largest batches, with the whole catalogue

Report = dict[str, Any]  # what --json writes


def put(report: Report, keys: Sequence[object], value: object) -> None:
    """report[key][key]… = value; keys become strings, as JSON has no others."""
    for key in keys[:-1]:
        report = report.setdefault(str(key), {})
    report[str(keys[-1])] = value


def assert_equal(scores: dict[str, Floats]) -> None:
    """Fault unless all scores, name -> array, equal those of the first name within TOLERANCE of its largest score."""
    (first, expected), *others = scores.items()
    for name, got in others:
        error = np.abs(got - expected).max() / np.abs(expected).max()
        if not error <= TOLERANCE:  # written like this, NaN is a Fault too
            raise Fault(f"{name} and {first} do not compute the same: their scores differ by {error:.1e} of the largest")


class Ratio(NamedTuple):
    """numba's rate divided by another's, over the pairs of turns."""

    median: float
    low: float  # quartiles
    high: float

    def __str__(self) -> str:
        return f"{self.median:.1f} ({self.low:.1f} to {self.high:.1f})"


def take_turns(
    measure: Callable[[str], float], others: Sequence[str], options: argparse.Namespace
) -> tuple[dict[str, float], dict[str, Ratio]]:
    """A B A C A B A C …: "numba" before each of the others. measure: name -> a rate.

    -> the median rate of each name, and the Ratio of each of the others.
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
    quartiles = {name: Ratio(*np.percentile(values, [50, 25, 75]).tolist()) for name, values in ratios.items()}
    return {name: float(np.median(values)) for name, values in rates.items()}, quartiles


def training_rates(team: dict[str, Worker], options: argparse.Namespace) -> tuple[dict[str, float], dict[str, Ratio]]:
    """Training samples per second of each contender, in turns, and the ratios.

    Fault unless all give the same scores, at the start and after training steps.
    """
    for trial in zip(*(worker.ask("trial") for worker in team.values())):
        assert_equal(dict(zip(team, trial)))

    def measure(name: str) -> float:
        rate: float = team[name].ask("window", seconds=options.window)
        return rate

    return take_turns(measure, [name for name in team if name != "numba"], options)
