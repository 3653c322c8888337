"""The exercises of the lessons, and what judges an answer. The command is `python -m lessons.exercises`.

An exercise is a module eNN_name.py beside this file, NN being its lesson: plain data and one function.
    TITLE; TASK: what to write, with shapes; STUB: the file that the learner starts from (TASK is put on top of it); HINTS: two,
    the second nearly the answer; EXPLAIN: shown after a pass; TRANSFER = True: the answer stands nowhere in the lesson
    check(answer, rng): calls the learner's functions on inputs that it draws, and yields a Case for each array to compare.
        What is expected comes from numeric derivatives or from atrank_np, never from the answer.
"""

import importlib
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
if __name__ != "lessons.exercises":
    sys.exit(f"start it from the repository's root:\n    cd {HERE.parents[1]}\n    python -m lessons.exercises")

import numpy as np


class Case(NamedTuple):
    """One comparison. causes: what a typical wrong answer gives, by the words that are then said; NaN: it cannot be told here."""

    name: str
    yours: np.ndarray
    expected: np.ndarray
    causes: dict = {}


def names():
    """Of all exercises, in the order of the lessons."""
    return sorted(path.stem for path in HERE.glob("e[0-9][0-9]_*.py"))


def exercise(name):
    return importlib.import_module(f"{__name__}.{name}")


def is_transfer(name):
    return getattr(exercise(name), "TRANSFER", False)
