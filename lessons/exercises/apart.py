"""Judges an answer in a process of its own, which ends after a time limit wherever it is, in an endless loop or inside NumPy."""

import faulthandler
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from . import HERE, exercise
from .judging import Verdict, judge

SECONDS = 10  # a right answer needs below 2


def judge_apart(name, path, filename, seconds=SECONDS):
    """The verdict on the answer in a file; filename is what the verdict calls it. What it prints is seen."""
    paths = filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")])
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        ended = subprocess.run(
            [sys.executable, "-m", __name__, name, str(path), filename, str(result), str(seconds)],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        text = result.read_text(encoding="utf-8") if result.exists() else ""
    if ended.returncode == 0 and text.startswith("["):
        return Verdict(*json.loads(text))
    if "Timeout" in text:
        return Verdict(False, overdue(text, path, filename, seconds))
    return Verdict(False, f"your code ended Python itself, with exit code {ended.returncode}")


def overdue(stacks, path, filename, seconds):
    """Where the answer was when its time was over. The stacks are faulthandler's, the innermost line first."""
    said = f"your code had not ended after {seconds:g} seconds"
    ascii_name = filename.encode("ascii", "backslashreplace").decode()
    for file, line, function in re.findall(r'File "(.+)", line (\d+) in (.+)', stacks):
        if file == ascii_name:
            code = path.read_text(encoding="utf-8").splitlines()[int(line) - 1].strip()
            return f"{said}. It was at line {line}, in {function}:\n    {code}\nIs there a loop that never ends?"
    return f"{said}, in a function that it calls"


def main(name, path, filename, result, seconds):
    told, source = exercise(name), Path(path).read_text(encoding="utf-8")
    with open(result, "w", encoding="utf-8") as file:
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=file)
        verdict = judge(told, source, filename)
        faulthandler.cancel_dump_traceback_later()
        json.dump(verdict, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
