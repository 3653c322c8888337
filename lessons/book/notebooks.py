"""A lesson as a notebook that is run, and as a page of the book."""

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_markdown_cell

from lessons import index
from lessons.exercises import names
from lessons.parts import PARTS

from . import exercises
from .links import in_book, road

FOLDED = "hide-input"  # the tag of a cell whose code is folded; its output is seen
PLAY = {"09": ' · <a href="attention.html">play with its numbers</a>'}  # lesson: its interactive page


def read(script, folder, execute=True):
    """A percent script as a notebook, written to the folder and run there."""
    notebook = jupytext.read(script, fmt="py:percent")
    for cell in notebook.cells:
        if cell.cell_type == "code" and "with figure(" in cell.source:
            cell.metadata.setdefault("tags", []).append(FOLDED)
    if execute:
        quiet = ["--log-level=ERROR"]
        where = {"metadata": {"path": folder}}
        NotebookClient(notebook, timeout=600, kernel_name="python3", extra_arguments=quiet, resources=where).execute()
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}  # a run says the same
    write(notebook, folder / f"{script.stem}.ipynb")
    return notebook


def write(notebook, path):
    nbformat.write(notebook, path)


def page(notebook, number):
    """The notebook of a lesson with what the book adds: where it stands, its exercises, its functions and tests."""
    page = nbformat.from_dict(notebook)
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = in_book(cell.source)
    title, _, rest = page.cells[0].source.partition("\n")
    page.cells[0].source = f"{title}\n\n{head(number)}\n{rest}"
    own = [name for name in names() if name[1:3] == number]
    page.cells.append(new_markdown_cell(exercises.section(number, own)))
    roads = "".join(road(row) for row in index.ROWS if number in row.lessons.split())
    page.cells.append(new_markdown_cell(in_book(f"## Its functions and tests\n\n{roads}")))
    return page


def head(number):
    """A line on the lesson's place in the course, with its notebook and script for download."""
    part = next(name for name, numbers in PARTS.items() if number in numbers.split())
    stem = index.LESSONS[number].stem
    return (
        f'<p class="about">{part} · {index.minutes(number)} minutes · <a href="#exercises">exercises</a> · download: '
        f'<a href="notebooks/{stem}.ipynb" download>notebook</a>, <a href="notebooks/{stem}.py" download>script</a>'
        f"{PLAY.get(number, '')}</p>"
    )
