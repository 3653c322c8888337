"""Judges an answer: runs it under watch, compares what it returns, and remarks on what it borrowed."""

import ast
import copy
import functools
import linecache
import re
import traceback
from types import FunctionType, ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np

from .faults import complaint, report

DRAWS = 3  # a check is run on so many different inputs


class Verdict(NamedTuple):
    passed: bool
    text: str


class Fault(Exception):
    """What is wrong with an answer, in words for the learner."""


def judge(exercise, source, filename, seed=0):
    """The verdict on an answer given as source text; filename is what a traceback calls it."""
    try:
        answer = load(source, filename)
        cases = [case for draw in range(DRAWS) for case in exercise.check(answer, np.random.default_rng([seed, draw]))]
        wrong = any(map(complaint, cases))
    except Fault as fault:
        return Verdict(False, str(fault))
    except (Exception, SystemExit) as error:
        return Verdict(False, own_traceback(error, filename))
    if wrong:
        return Verdict(False, report(cases))
    text = f"{len(cases)} comparisons on {DRAWS} random inputs, all right"
    if names := borrowed(exercise, source):
        text += f"\nIt passes, but it calls {' and '.join(names)} of this package. Write that yourself: then you know it."
    return Verdict(True, text)


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


def own_traceback(error, filename):
    """A traceback with the lines of the learner's file only, the last three of them."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == filename]
    last = "".join(traceback.format_exception_only(error)).strip()
    if not frames and not isinstance(error, SyntaxError):
        count = re.search(r"(not enough|too many) values to unpack \(expected (\d+)", last)
        fault = f"{'fewer' if count[1] == 'not enough' else 'more'} arrays than the {count[2]} asked for" if count else last
        return f"what your function returns does not fit the task: {fault}"
    return "your code stops with an error:\n" + "".join(traceback.format_list(frames[-3:])) + last


def borrowed(exercise, source):
    """What the asked functions take from this project, unless the stub imports it or the task names it."""
    tree, stub = ast.parse(source), ast.parse(exercise.STUB)
    own = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    reached = [node.name for node in stub.body if isinstance(node, ast.FunctionDef)]
    for name in reached:  # it grows by the functions of the file that these call
        reached += (own.keys() & set(words(own[name]))).difference(reached) if name in own else ()
    given = set(imports(stub).values()) | set(re.findall(r"\w+", exercise.TASK)).difference(own)
    used = {word for name in reached if name in own for word in words(own[name])}
    taken = {name for alias, name in imports(tree).items() if alias in used}
    return sorted(f"`{name}`" for name in taken - given)


def imports(tree):
    """What a file imports from this project: the name it has there -> its own name, or that of its module."""
    found = {}
    for node in ast.walk(tree):
        module = node.module if isinstance(node, ast.ImportFrom) else None
        for name in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
            if (module or name.name).split(".")[0] in ("atrank_np", "lessons"):
                found[name.asname or (name.name if module else name.name.split(".")[0])] = name.name
    return found


def words(function):
    return [node.id for node in ast.walk(function) if isinstance(node, ast.Name)]
