"""python -m lessons.book: the course as notebooks and as a static site (extra [book]).

    python -m lessons.book [--out build/book]      then open build/book/index.html

Runs every lesson as a notebook (percent script → Jupytext → notebook → its outputs), writes it to OUT/notebooks, and lets
Sphinx make the pages; those on results, speed and data stand beside the lessons. Each function and test that the index names
gets a place in the book, so that the links equation → function → test → lesson lead from one to the other. Nothing is read
from the network, when building or when reading.
"""

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from sphinx.cmd.build import main as sphinx
except ModuleNotFoundError as fault:
    sys.exit(f"the book needs more packages (here {fault.name}): pip install -e '.[book]'")

from lessons import index

HERE = Path(__file__).resolve().parent
PAGES = {"RESULTS": "lessons/RESULTS.md", "SPEED": "lessons/SPEED.md", "data/README": "data/README.md"}  # in the book: their file
SESSION = HERE.parent / "session.py"  # a notebook too, though no lesson
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./(\w+)/([\w/]+)\.py\)")  # as lessons.index writes it: name, folder, file


def label(folder, file, name):
    return re.sub(r"\W", "-", f"{folder}-{file}-{name}")


def in_book(text):
    """Markdown of the index and of the pages with its links turned to the pages of the book."""
    text = LINK.sub(lambda m: f"[`{m[1]}`](#{label(m[2], m[3], m[1])})", text)
    text = re.sub(r"\]\((\d\d_\w+)\.py\)", r"](/\1.ipynb)", text)
    return re.sub(r"\]\(\.\./(?:lessons/|(?=data/))", "](/", text)  # what stands in lessons/ is at the top of the book


def road(row):
    """Where an equation goes: its row of the index as an item of a list."""
    parts = [
        f"{what} {index.links(names, ', ')}"
        for what, names in zip(("forward", "backward", "kernel", "test", "lesson"), row[2:])
        if names
    ]
    return f"- {row.equation} {row.formula}: {' → '.join(parts)}\n"


def run(script, folder):
    """The lesson as a notebook with its outputs, written to the folder and run there."""
    notebook = jupytext.read(script, fmt="py:percent")
    quiet = ["--log-level=ERROR"]
    where = {"metadata": {"path": folder}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", extra_arguments=quiet, resources=where).execute()
    nbformat.write(notebook, folder / f"{script.stem}.ipynb")
    return notebook


def write_code_pages(source):
    """A page for each file that the index names, a section for each name; returns the pages."""
    named = {}
    for name, folder, file in LINK.findall(index.page()):
        named.setdefault(f"{folder}/{file}", set()).add(name)
    for page, names in sorted(named.items()):
        folder, file = page.split("/", 1)
        sources = index.names_in(index.ROOT / f"{page}.py")
        text = f"# {page}.py\n"
        for name in sorted(names, key=list(sources).index):
            roads = "".join(road(row) for row in index.ROWS if f"[`{name}`](../{page}.py)" in road(row))
            text += f"\n({label(folder, file, name)})=\n## `{name}`\n\n{roads}\n```python\n{sources[name]}\n```\n"
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / f"{page}.md").write_text(in_book(text), encoding="utf-8")
    return sorted(named)


def write_pages(source):
    """The pages on results, speed and data, with their pictures."""
    for page, file in PAGES.items():
        text = (index.ROOT / file).read_text(encoding="utf-8")
        (source / page).parent.mkdir(exist_ok=True)
        (source / f"{page}.md").write_text(in_book(text).replace("```csv\n", "```text\n"), encoding="utf-8")  # no colours for csv
        for picture in re.findall(r"!\[[^]]*\]\(([\w./]+)\)", text):
            shutil.copy((index.ROOT / file).parent / picture, (source / page).parent / picture)


def write_home(source, code_pages):
    tree = lambda caption, pages, *options: "\n".join(["```{toctree}", f":caption: {caption}", *options, "", *pages, "```", ""])
    text = (
        "# ATRank, from equation to code\n\nEvery equation of ATRank (Zhou et al., AAAI 2018) with its gradient, derived, "
        "computed and proved. Begin with lesson 00, or look an equation up in the [index](INDEX.md), which also has the "
        "letters, the departures from the paper and the common errors of gradient checks. Each lesson is also a notebook, in "
        "the folder `notebooks`.\n\n"
        "How well the models rank is on the page [Results](RESULTS.md), how fast they are on the page [Speed](SPEED.md), and "
        "how to bring a log of one's own on the page [The format of a data set](data/README.md). The page [A session in "
        "Python](/session.ipynb) shows the package in use.\n\n"
    )
    text += tree("The course", ["INDEX", *(script.stem for script in index.LESSONS.values())], ":maxdepth: 1")
    text += tree("Use, results, speed, data", [SESSION.stem, *PAGES], ":maxdepth: 1")
    text += tree("Functions and tests", code_pages, ":hidden:")
    (source / "index.md").write_text(text, encoding="utf-8")
    (source / "INDEX.md").write_text(in_book(index.page()), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="python -m lessons.book", description="Build the book of the course.")
    parser.add_argument("--out", type=Path, default=Path("build/book"), help="default: %(default)s")
    out = parser.parse_args().out.resolve()
    notebooks = out / "notebooks"
    notebooks.mkdir(parents=True, exist_ok=True)
    for script in index.LESSONS.values():  # beside the notebooks: what they import and look at
        shutil.copy(script, notebooks)
    shutil.copy(index.ROOT / "lessons" / "_common.py", notebooks)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(index.ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary)
        for number, script in index.LESSONS.items():
            print(f"lesson {number}", flush=True)
            notebook = run(script, notebooks)
            roads = "".join(road(row) for row in index.ROWS if number in row.lessons.split())
            notebook.cells.append(nbformat.v4.new_markdown_cell(in_book(f"## Its functions and tests\n\n{roads}")))
            nbformat.write(notebook, source / f"{script.stem}.ipynb")
        nbformat.write(run(SESSION, notebooks), source / f"{SESSION.stem}.ipynb")
        write_pages(source)
        write_home(source, write_code_pages(source))
        return sphinx(["-q", "-W", "--keep-going", "-d", str(source / "doctrees"), "-c", str(HERE), temporary, str(out)])


if __name__ == "__main__":
    sys.exit(main())
