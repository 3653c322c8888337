"""Tests the tests: each of these bugs, planted alone into a copy of the package, must be caught by the test that it names.

    python tests/planted_bugs.py [-k NAME]

Caught means that an assertion of that test fails; a bug that crashes proves nothing about the test and counts as missed.
A source text that is no longer found exactly once is an error: the bug must follow the code.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bugs import core, datasets, kernels, layers, models

ROOT = Path(__file__).resolve().parent.parent
BUGS = [*layers.BUGS, *models.BUGS, *kernels.BUGS, *datasets.BUGS, *core.BUGS]


def copy_package(folder):
    for name in ("atrank_np", "tests", "data/shop"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def run_tests(folder, *tests):
    """pytest in the copy: nothing compiled before, by Python or by numba, is used again."""
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "COLUMNS": "300",  # else pytest cuts the reason off its summary
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    command += [f"tests/{test}" for test in tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def plant(bug, folder):
    """LookupError if the text does not stand there exactly once."""
    path = folder / "atrank_np" / bug.file
    source = path.read_text()
    if source.count(bug.text) != 1:
        raise LookupError(f"{bug.file} holds this {source.count(bug.text)} times, not once: {bug.text}")
    path.write_text(source.replace(bug.text, bug.replacement))


def verdict(bug):
    """-> "caught", or why not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_package(folder)
        try:
            plant(bug, folder)
        except LookupError as error:
            return f"ERROR: {error}"
        result = run_tests(folder, bug.test)
    if result.returncode == 0:
        return "MISSED"
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    if result.returncode == 1 and any(" - assert" in line.lower() or " - Failed" in line for line in failed):
        return "caught"
    return "MISSED: no assertion failed, but: " + (failed or (result.stdout + result.stderr).splitlines()[-3:])[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", default="", help="only bugs whose name, file or test holds this")
    options = parser.parse_args()
    bugs = [bug for bug in BUGS if any(options.k in part for part in (bug.name, bug.file, bug.test))]
    with tempfile.TemporaryDirectory() as name:
        copy_package(Path(name))
        healthy = run_tests(Path(name), *sorted({bug.test for bug in bugs}))
    if healthy.returncode:
        sys.exit(f"the tests fail without any bug:\n{healthy.stdout}{healthy.stderr}")
    missed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for bug, result in zip(bugs, pool.map(verdict, bugs)):
            print(f"{bug.file:26} {bug.name:38} {result}", flush=True)
            missed += result != "caught"
    print(f"{len(bugs) - missed} of {len(bugs)} bugs are caught")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
