"""The learner's desk: their answers, what they have passed, and the commands."""

import difflib
import json
import os
import sys
import textwrap
from pathlib import Path

from . import HERE, exercise, is_transfer, names
from .apart import judge_apart

ROOT = HERE.parents[1]
ANSWERS = Path(os.environ.get("LESSON_ANSWERS", ROOT / "lessons" / "answers"))
SOLUTIONS = ROOT / "lessons" / "solutions"


def load_progress():
    """exercise name -> {"passed": bool, "hints": how many were shown}, for all exercises."""
    path = ANSWERS / "progress.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        known = {name: {"passed": bool(p["passed"]), "hints": int(p["hints"])} for name, p in kept.items()}
    except FileNotFoundError:
        known = {}
    except (ValueError, TypeError, KeyError, AttributeError):
        sys.exit(f"{shown(path)} is damaged. Delete it and check again: your answers are not in it.")
    return {name: {"passed": False, "hints": 0} for name in names()} | known


def save_progress(progress):
    ANSWERS.mkdir(parents=True, exist_ok=True)
    unfinished = ANSWERS / "progress.json.new"
    unfinished.write_text(json.dumps(progress, indent=1), encoding="utf-8")
    unfinished.replace(ANSWERS / "progress.json")


def note(name, **values):
    progress = load_progress()
    progress[name] |= values
    save_progress(progress)


def left():
    """The exercises that are not passed."""
    return [name for name in names() if not load_progress()[name]["passed"]]


def shown(path):
    """A path as short as it can be typed."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)


def answer_file(name):
    return ANSWERS / f"{name}.py"


def start(name):
    """What an answer file begins as: the task as its docstring, then the stub."""
    told = exercise(name)
    task = f"{told.TITLE}\n\n{told.TASK.strip()}".replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return f'"""{task}\n"""\n\n{told.STUB}'


def begin(name):
    ANSWERS.mkdir(parents=True, exist_ok=True)
    answer_file(name).write_text(start(name), encoding="utf-8")


def chosen(which):
    """The exercises that `which` means: a lesson's number, a name, a part of one name, or None for what comes next."""
    if which is None:
        return left()[:1]
    number = f"{int(which):02}" if which.isdecimal() else None
    found = [name for name in names() if which == name or name[1:3] == number]
    if found:
        return found
    parts = [] if number else [name for name in names() if which.lower() in name]
    if len(parts) == 1:
        return parts
    if parts:
        sys.exit(f"which one? {', '.join(parts[:8])}{', …' if len(parts) > 8 else ''}")
    near = difflib.get_close_matches(which.lower(), [name[4:] for name in names()] + names(), 3, 0.5)
    near = [name for name in names() if name in near or name[4:] in near]
    lessons = f"lessons go from {names()[0][1:3]} to {names()[-1][1:3]}"
    sys.exit(f"there is no exercise {which!r}; " + (f"did you mean {' or '.join(near)}?" if near else lessons))


def title(name):
    return f"{name}: {'transfer: ' if is_transfer(name) else ''}{exercise(name).TITLE}"


def bar(width=40):
    """How much is done, such as [####----] 24 of 48 done."""
    done, of = len(names()) - len(left()), len(names())
    full = width * done // of
    return f"[{'#' * full}{'-' * (width - full)}] {done} of {of} done"


def show():
    progress = load_progress()
    for name in names():
        kind = "transfer: " if is_transfer(name) else ""
        print(f"  [{'x' if progress[name]['passed'] else ' '}] {name:22} {kind}{exercise(name).TITLE}")
    print(bar())
    for name in left()[:1]:
        lesson = next(iter(sorted((ROOT / "lessons").glob(f"{name[1:3]}_*.py"))), None)
        print(f"Next: read {shown(lesson)}, then" if lesson else "Next:", f"python -m lessons.exercises check {name[1:3]}")


def task(which):
    for name in chosen(which):
        print(f"== {title(name)}\n\n{exercise(name).TASK.strip()}\n\nYour answer goes into {shown(answer_file(name))}.")


def check(which):
    """-> whether all are passed."""
    return all([check_one(name) for name in chosen(which)])


def check_one(name, tell=False):
    """-> whether it is passed. The first time it begins the answer file and tells the task.

    tell: it tells the task of an older file too, if nothing is written yet.
    """
    told, path = exercise(name), answer_file(name)
    if not path.exists():
        begin(name)
        tell = True
    if path.read_text(encoding="utf-8") == start(name):
        if tell:
            task(name)
        else:
            print(f"== {title(name)}\n{shown(path)} is unchanged so far; the task stands at its top.")
        print("Edit the file, save it, and check again.\n")
        note(name, passed=False)
        return False
    print(f"== {title(name)}")
    verdict = judge_apart(name, path, shown(path))
    note(name, passed=verdict.passed)
    print(verdict.text)
    print(f"PASSED\n\n{told.EXPLAIN.strip()}\n" if verdict.passed else f"not yet; your answer: {shown(path)}\n")
    return verdict.passed


def hint(which):
    """One more hint for the first exercise that is not passed; after the last one it is told again."""
    found = chosen(which)
    todo = [name for name in found if name in left()]
    if len(found) > 1 and not todo:
        print(f"these are passed; for a hint name one of them: {', '.join(found)}")
        return
    for name in todo[:1] or found[:1]:
        hints, told = exercise(name).HINTS, load_progress()[name]["hints"]
        level = min(told, len(hints) - 1)
        print(textwrap.fill(f"{name}, hint {level + 1} of {len(hints)}: {hints[level]}", 100))
        if told >= len(hints):
            print(f"There are no more hints. How we would write it: python -m lessons.exercises solution {name}")
        note(name, hints=level + 1)


def reset(which):
    for name in chosen(which):
        path = answer_file(name)
        if path.exists() and path.read_text(encoding="utf-8") != start(name):
            number = 1
            while (kept := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")).exists():
                number += 1
            path.rename(kept)
            print(f"your answer is kept as {shown(kept)}")
        begin(name)
        note(name, passed=False, hints=0)
        print(f"{shown(path)} is as at the start")


def solution(which):
    for name in chosen(which):
        if not (SOLUTIONS / f"{name}.py").exists():
            sys.exit(f"{shown(SOLUTIONS / name)}.py is not here: ask your teacher.")
        print(f"# {title(name)}\n{solution_text(name)}\n")


def solution_text(name):
    """A solution without the wrong answers that its file lists for the tests."""
    return (SOLUTIONS / f"{name}.py").read_text(encoding="utf-8").split("\nWRONG = ")[0].rstrip()
