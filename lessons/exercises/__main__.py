"""python -m lessons.exercises: the exercises of the lessons, checked at your desk.

    python -m lessons.exercises              what is done, and what comes next
    python -m lessons.exercises watch        go through what is left; answers are checked each time that you save them
    python -m lessons.exercises check 07     begin the exercises of lesson 07, or judge your answers
    python -m lessons.exercises task 07      what is to be written
    python -m lessons.exercises hint 07      a nudge; the second time, nearly the answer
    python -m lessons.exercises reset 07     start again (your answer is kept as .bak)
    python -m lessons.exercises solution 07  how we would write it

In place of 07, the name of one exercise will do, such as e07_softmax, or a part of it, such as temperature. Answers are files in
lessons/answers.
"""

import argparse
import sys
from pathlib import Path

if __package__ != "lessons.exercises":
    ROOT = Path(__file__).resolve().parents[2]
    sys.exit(f"start it from the repository's root:\n    cd {ROOT}\n    python -m lessons.exercises")

from atrank_np import cli

from . import desk
from .watch import watch

COMMANDS = {
    "watch": watch,
    "check": desk.check,
    "task": desk.task,
    "hint": desk.hint,
    "reset": desk.reset,
    "solution": desk.solution,
}


def main():
    parser = argparse.ArgumentParser(
        prog="python -m lessons.exercises", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=list(COMMANDS))
    parser.add_argument("which", nargs="?", help="a lesson's number, or an exercise's name (default: the next one)")
    options = parser.parse_args()
    if options.command is None:
        desk.show()
    elif options.command in ("reset", "solution") and options.which is None:
        parser.error(f"{options.command} what? Name a lesson, such as 07")
    elif options.which is None and not desk.left():
        print("all exercises are done")
    elif COMMANDS[options.command](options.which) is False:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(lambda _: main())
