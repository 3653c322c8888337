"""python -m lessons.book: the course as notebooks and as a static site (extra [book]).

    python -m lessons.book [--out build/book]      then open build/book/index.html
    python -m lessons.book --only 02,09            while writing: the other lessons are not run, they have no outputs

Runs every lesson as a notebook (percent script → Jupytext → notebook → its outputs), writes it to OUT/notebooks, and lets
Sphinx make the pages. Exercises stand on the page of their lesson, solutions on pages of their own. Each function and test that
the index names gets a place in the book, so that the links equation → function → test → lesson lead from one to the other.
Nothing is read from the network, when building or when reading.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

try:
    import jupytext  # noqa: F401, here and below: what else the book needs
    import nbclient  # noqa: F401
    from sphinx.cmd.build import main as sphinx
except ModuleNotFoundError as fault:
    sys.exit(f"the book needs more packages (here {fault.name}): pip install -e '.[book]'")

from lessons import index

from . import attention, notebooks, pages

HERE = Path(__file__).resolve().parent


def main():
    parser = argparse.ArgumentParser(prog="python -m lessons.book", description="Build the book of the course.")
    parser.add_argument("--out", type=Path, default=Path("build/book"), help="default: %(default)s")
    parser.add_argument("--only", metavar="NN,NN", help="run these lessons only, to look at them while writing")
    options = parser.parse_args()
    out, run_these = options.out.resolve(), options.only.split(",") if options.only else list(index.LESSONS)
    if unknown := set(run_these) - set(index.LESSONS):
        parser.error(f"there is no lesson {', '.join(sorted(unknown))}")
    folder = out / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for script in [*index.LESSONS.values(), index.ROOT / "lessons" / "_common.py"]:  # what the notebooks import and look at
        shutil.copy(script, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(index.ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        for number, script in index.LESSONS.items():
            print(f"lesson {number}", flush=True)
            notebook = notebooks.read(script, folder, execute=number in run_these)
            notebooks.write(notebooks.page(notebook, number), source / f"{script.stem}.ipynb")
        pages.write(source, folder)
        failed = sphinx(["-q", "-W", "--keep-going", "-d", str(source / "doctrees"), "-c", str(HERE), temporary, str(out)])
    attention.write(out / "attention.html")
    return failed


if __name__ == "__main__":
    sys.exit(main())
