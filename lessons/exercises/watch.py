"""python -m lessons.exercises watch: checks an answer each time that it is saved."""

import contextlib
import os
import sys
import time

from . import desk

KEYS = "h: hint   t: task   n: next exercise   q: quit"


def watch(which, pause=0.3):
    """Goes through the exercises that are meant; by default all that are not passed."""
    todo = desk.left() if which is None else desk.chosen(which)
    with keyboard() as key:
        for name in todo:
            if watch_one(name, key, pause) == "q":
                return
    print("all exercises are done" if not desk.left() else f"the end; {desk.bar()}")


def watch_one(name, key, pause):
    """-> the key that ended it, n or q."""
    path, seen = desk.answer_file(name), None
    if not path.exists():
        desk.begin(name)
    while True:
        saved = stamp(path)
        if saved not in (seen, None):
            print(f"\n---- {time.strftime('%H:%M:%S')} ----")
            desk.check_one(name, tell=seen is None)
            seen = saved
            print(f"{desk.bar()}\nwaiting for {desk.shown(path)} to be saved   ({KEYS})", flush=True)
        pressed = key(pause).lower()
        if pressed in ("n", "q"):
            return pressed
        if pressed in ("h", "t"):
            {"h": desk.hint, "t": desk.task}[pressed](name)
            print(end="", flush=True)


def stamp(path):
    """What changes when a file is saved; None while it is not there, since some editors save by replacing it."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return state.st_mtime_ns, state.st_size


@contextlib.contextmanager
def keyboard():
    """A function that waits for a key for some seconds at most, and gives it, or an empty text."""
    try:
        import msvcrt
    except ModuleNotFoundError:
        with posix_keyboard() as key:
            yield key
        return

    def key(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if msvcrt.kbhit():
                pressed = msvcrt.getwch()
                if pressed not in "\x00\xe0":
                    return pressed
                msvcrt.getwch()  # an arrow or the like is two letters, of which the second means nothing here
            time.sleep(0.05)
        return ""

    yield key


@contextlib.contextmanager
def posix_keyboard():
    """The terminal gives each key at once; a pipe works too, and one that is closed gives no keys."""
    import select
    import termios
    import tty

    number, closed = sys.stdin.fileno(), False

    def key(seconds):
        nonlocal closed
        if closed:
            time.sleep(seconds)
        elif select.select([number], [], [], seconds)[0]:
            pressed = os.read(number, 8).decode("ascii", "replace")
            closed = not pressed
            return "" if pressed.startswith("\x1b") else pressed[:1]  # an arrow or the like is several letters
        return ""

    kept = termios.tcgetattr(number) if os.isatty(number) else None
    if kept:
        tty.setcbreak(number)
    try:
        yield key
    finally:
        if kept:
            termios.tcsetattr(number, termios.TCSADRAIN, kept)
