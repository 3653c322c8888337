"""python -m lessons.exercises: the exercises of the lessons, checked at your desk.

    python -m lessons.exercises              what is done, and what comes next
    python -m lessons.exercises check 07     begin the exercises of lesson 07, or judge your answers
    python -m lessons.exercises hint 07      a nudge; the second time, nearly the answer
    python -m lessons.exercises reset 07     start again (your answer is kept as .bak)
    python -m lessons.exercises solution 07  how we would write it

In place of 07, the name of one exercise will do, such as e07_softmax. Answers are files in lessons/answers.
"""

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __package__ != "lessons.exercises":
    sys.exit(f"start it from the repository's root:\n    cd {ROOT}\n    python -m lessons.exercises")

from atrank_np import cli

from . import exercise, judge, names

ANSWERS = Path(os.environ.get("LESSON_ANSWERS", ROOT / "lessons" / "answers"))
SOLUTIONS = ROOT / "lessons" / "solutions"


def load_progress():
    """exercise name -> {"passed": bool, "hints": how many were shown}."""
    path = ANSWERS / "progress.json"
    try:
        progress = json.loads(path.read_text(encoding="utf-8"))
        return {name: {"passed": bool(p["passed"]), "hints": int(p["hints"])} for name, p in progress.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError, AttributeError):
        sys.exit(f"{shown(path)} is damaged. Delete it and check again: your answers are not in it.")


def save_progress(progress):
    ANSWERS.mkdir(parents=True, exist_ok=True)
    unfinished = ANSWERS / "progress.json.new"
    unfinished.write_text(json.dumps(progress, indent=1), encoding="utf-8")
    unfinished.replace(ANSWERS / "progress.json")


def state(progress, name):
    return progress.setdefault(name, {"passed": False, "hints": 0})


def shown(path):
    """A path as short as it can be typed."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else str(path)


def answer_file(name):
    return ANSWERS / f"{name}.py"


def begin(name):
    ANSWERS.mkdir(parents=True, exist_ok=True)
    answer_file(name).write_text(exercise(name).STUB, encoding="utf-8")


def chosen(which):
    """The names of the exercises that `which` means: a lesson's number, an exercise's name, or None for what comes next."""
    if which is None:
        progress = load_progress()
        return [name for name in names() if not state(progress, name)["passed"]][:1]
    number = f"{int(which):02}" if which.isdigit() else None
    found = [name for name in names() if which == name or name[1:3] == number]
    if not found:
        sys.exit(f"there is no exercise {which!r}; there are {', '.join(names())}")
    return found


def show():
    progress = load_progress()
    for name in names():
        print(f"  [{'x' if state(progress, name)['passed'] else ' '}] {name:22} {exercise(name).TITLE}")
    done = sum(state(progress, name)["passed"] for name in names())
    print(f"{done} of {len(names())} done.")
    for name in chosen(None):
        lesson = next(iter(sorted((ROOT / "lessons").glob(f"{name[1:3]}_*.py"))), None)
        print(f"Next: read {shown(lesson)}, then" if lesson else "Next:", f"python -m lessons.exercises check {name[1:3]}")


def check(which):
    """-> whether all are passed."""
    progress, all_passed = load_progress(), True
    for name in chosen(which):
        told, path = exercise(name), answer_file(name)
        print(f"== {name}: {told.TITLE}")
        if not path.exists():
            begin(name)
        source = path.read_text(encoding="utf-8")
        if source == told.STUB:
            print(f"{told.TASK.strip()}\n\nWrite it into {shown(path)}, then run the same command again.\n")
            state(progress, name)["passed"] = all_passed = False
            continue
        verdict = judge(told, source, shown(path))
        state(progress, name)["passed"] = verdict.passed
        all_passed &= verdict.passed
        print(verdict.text)
        print(f"PASSED\n\n{told.EXPLAIN.strip()}\n" if verdict.passed else f"not yet; your answer: {shown(path)}\n")
    save_progress(progress)
    return all_passed


def hint(which):
    """One more hint for the first exercise that is not passed."""
    progress = load_progress()
    found = chosen(which)
    for name in [name for name in found if not state(progress, name)["passed"]][:1] or found[:1]:
        hints = exercise(name).HINTS
        level = min(state(progress, name)["hints"], len(hints) - 1)
        print(textwrap.fill(f"{name}, hint {level + 1} of {len(hints)}: {hints[level]}", 100))
        state(progress, name)["hints"] = level + 1
    save_progress(progress)


def reset(which):
    progress = load_progress()
    for name in chosen(which):
        path = answer_file(name)
        if path.exists() and path.read_text(encoding="utf-8") != exercise(name).STUB:
            number = 1
            while (kept := path.with_name(f"{path.name}.bak{number if number > 1 else ''}")).exists():
                number += 1
            path.rename(kept)
            print(f"your answer is kept as {shown(kept)}")
        begin(name)
        progress.pop(name, None)
        print(f"{shown(path)} is as at the start")
    save_progress(progress)


def solution(which):
    for name in chosen(which):
        path = SOLUTIONS / f"{name}.py"
        if not path.exists():
            sys.exit(f"{shown(path)} is not here: ask your teacher.")
        print(f"# {name}: {exercise(name).TITLE}")
        print(path.read_text(encoding="utf-8").split("\nWRONG = ")[0].rstrip() + "\n")


def main():
    parser = argparse.ArgumentParser(
        prog="python -m lessons.exercises", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=["check", "hint", "reset", "solution"])
    parser.add_argument("which", nargs="?", help="a lesson's number, or an exercise's name (default: the next one)")
    options = parser.parse_args()
    if options.command is None:
        show()
    elif options.command in ("check", "hint") and not chosen(options.which):
        print("all exercises are done")
    elif options.command in ("reset", "solution") and options.which is None:
        parser.error(f"{options.command} what? Name a lesson, such as 07")
    elif options.command == "check":
        sys.exit(not check(options.which))
    else:
        {"hint": hint, "reset": reset, "solution": solution}[options.command](options.which)


if __name__ == "__main__":
    cli.run(lambda _: main())
