"""The exercises of the lessons, and what judges an answer. The command is `python -m lessons.exercises`.

An exercise is a module eNN_name.py beside this file, NN being its lesson: plain data and one function.
    TITLE; TASK: what to write, with shapes; STUB: the file that the learner starts from; HINTS: two, the second nearly the
    answer; EXPLAIN: shown after a pass
    check(answer, rng): calls the learner's functions on inputs that it draws, and yields a Case for each array to compare.
        What is expected comes from numeric derivatives or from atrank_np, never from the answer.
"""

import copy
import functools
import importlib
import linecache
import sys
import traceback
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
if __name__ != "lessons.exercises":
    sys.exit(f"start it from the repository's root:\n    cd {HERE.parents[1]}\n    python -m lessons.exercises")

import numpy as np

from atrank_np.gradcheck import likely_cause, relative_error

LIMIT = 1e-6  # of the array's largest entry: ten times what a numeric derivative may be wrong by
DRAWS = 3  # a check is run on so many different inputs


class Case(NamedTuple):
    """One comparison. causes: what a typical wrong answer gives, by the words that are then said."""

    name: str
    yours: np.ndarray
    expected: np.ndarray
    causes: dict = {}


class Verdict(NamedTuple):
    passed: bool
    text: str


class Fault(Exception):
    """What is wrong with an answer, in words for the learner."""


def names():
    """Of all exercises, in the order of the lessons."""
    return sorted(path.stem for path in HERE.glob("e[0-9][0-9]_*.py"))


def exercise(name):
    return importlib.import_module(f"{__name__}.{name}")


def judge(exercise, source, filename, seed=0):
    """The verdict on an answer given as source text; filename is what a traceback calls it."""
    try:
        answer = load(source, filename)
        cases = [case for draw in range(DRAWS) for case in exercise.check(answer, np.random.default_rng([seed, draw]))]
        wrong = [line for line in map(complaint, cases) if line]
    except Fault as fault:
        return Verdict(False, str(fault))
    except (Exception, SystemExit) as error:
        return Verdict(False, own_traceback(error, filename))
    if wrong:
        return Verdict(False, "\n".join(wrong[:4] + [f"{len(wrong)} of {len(cases)} comparisons are wrong"]))
    return Verdict(True, f"{len(cases)} comparisons on {DRAWS} random inputs, all right")


def load(source, filename):
    """The answer as a namespace, its functions under watch."""
    linecache.cache[filename] = len(source), None, source.splitlines(keepends=True), filename
    module = ModuleType("answer")
    exec(compile(source, filename, "exec"), vars(module))
    return Answer(
        **{
            name: watched(value) if isinstance(value, FunctionType) and value.__module__ == "answer" else value
            for name, value in vars(module).items()
        }
    )


class Answer(SimpleNamespace):
    def __getattr__(self, name):
        raise Fault(f"the task asks for `{name}`, which your file does not define")


def watched(function):
    """The same function, but its inputs are copies that it must leave as they are, and it must return something."""

    @functools.wraps(function)
    def call(*arguments, **named):
        given = copy.deepcopy((arguments, named))
        y = function(*given[0], **given[1])
        if y is None or y is ...:
            raise Fault(f"{function.__name__} returns nothing yet: write its body, and end it with `return`")
        if not same(given, (arguments, named)):
            raise Fault(
                f"{function.__name__} changes an array that it was given: others still need it.\n"
                "`x *= y` and `x[...] = y` write into x itself; `x = x * y` makes a new array"
            )
        return y

    return call


def same(a, b):
    if isinstance(a, dict):
        a, b = list(a.values()), list(b.values())
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return not isinstance(a, np.ndarray) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def complaint(case):
    """One line on a case that is wrong, None on one that is right."""
    try:
        yours, expected = np.asarray(case.yours, np.float64), np.asarray(case.expected, np.float64)
    except (TypeError, ValueError):
        return f"{case.name}: expected numbers, got {type(case.yours).__name__}"
    if yours.shape != expected.shape:
        return f"{case.name}: expected the shape {list(expected.shape)}, got {list(yours.shape)}"
    if relative_error(yours, expected) <= LIMIT:  # False for NaN
        return None
    worst = np.unravel_index(np.abs(yours - expected).argmax(), yours.shape)
    alike = (words for words, wrong in case.causes.items() if np.shape(wrong) == yours.shape and agree(yours, wrong))
    cause = next(alike, None) or likely_cause(np.atleast_1d(yours), np.atleast_1d(expected))
    place = f" at {list(map(int, worst))}" if worst else ""
    return f"{case.name}{place}: yours {yours[worst]:.6g}, expected {expected[worst]:.6g}. Likely cause: {cause}"


def agree(a, b):
    return relative_error(a, b) <= LIMIT


def own_traceback(error, filename):
    """A traceback with the lines of the learner's file only."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    last = "".join(traceback.format_exception_only(error)).strip()
    if not frames and not isinstance(error, SyntaxError):
        return f"what your function returns does not fit the task: {last}"
    return "your code stops with an error:\n" + "".join(traceback.format_list(frames)) + last
