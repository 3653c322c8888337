"""The pages of the book that are no lessons: the home page, the index, further pages, and functions and tests."""

import re
import shutil

from lessons import index
from lessons.exercises import names
from lessons.parts import parts, routes

from . import exercises, notebooks
from .links import LINK, NOT_IN_THE_LIST, in_book, label, road

# A further page is one line: its name in the book, its file (Markdown, or a percent script, which is run), what it is.
PAGES = {
    "session": ("lessons/session.py", "[A session in Python](/session.ipynb): the package in use"),
    "RESULTS": ("lessons/RESULTS.md", "[Results](RESULTS.md): how well the models rank"),
    "SPEED": ("lessons/SPEED.md", "[Speed](SPEED.md): how fast they are"),
    "CLUSTER": ("lessons/CLUSTER.md", "[From a laptop to a cluster](CLUSTER.md): the same command on many machines"),
    "data/README": ("data/README.md", "[The format of a data set](data/README.md): how to bring a log of one's own"),
}


def write(source, folder):
    """All of them, to the folder of Sphinx's sources; folder: where notebooks are run."""
    for page, (file, _) in PAGES.items():
        write_page(source / page, index.ROOT / file, folder)
    (source / "INDEX.md").write_text(in_book(index_text()), encoding="utf-8")
    (source / "index.md").write_text(in_book(home()), encoding="utf-8")
    write_code_pages(source)
    exercises.write_solutions(source, index.LESSONS)


def write_page(page, file, folder):
    """A page with its pictures."""
    page.parent.mkdir(exist_ok=True)
    if file.suffix == ".py":
        notebooks.write(notebooks.read(file, folder), page.with_suffix(".ipynb"))
        return
    text = file.read_text(encoding="utf-8")
    page.with_suffix(".md").write_text(in_book(text).replace("```csv\n", "```text\n"), encoding="utf-8")  # no colours for csv
    for picture in re.findall(r"!\[[^]]*\]\(([\w./]+)\)", text):
        shutil.copy(file.parent / picture, page.parent / picture)


def write_code_pages(source):
    """A page for each file that the index names, a section for each name."""
    named = {}
    for name, folder, file in LINK.findall(index.page()):
        named.setdefault(f"{folder}/{file}", set()).add(name)
    for page, inside in sorted(named.items()):
        folder, file = page.split("/", 1)
        sources = index.names_in(index.ROOT / f"{page}.py")
        text = f"{NOT_IN_THE_LIST}# {page}.py\n"
        for name in sorted(inside, key=list(sources).index):
            roads = "".join(road(row) for row in index.ROWS if f"[`{name}`](../{page}.py)" in road(row))
            text += f"\n({label(folder, file, name)})=\n## `{name}`\n\n{in_book(roads)}\n```python\n{sources[name]}\n```\n"
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / f"{page}.md").write_text(text, encoding="utf-8")


def index_text():
    """INDEX.md with a name for its table of equations, which needs a style of its own on small screens."""
    return "---\nhide-toc: true\n---\n\n" + index.page().replace("\n| equation ", "\n{.equations}\n| equation ", 1)


def lesson_line(number):
    """An item of a list: a lesson with its minutes and how many exercises it has."""
    count = sum(name[1:3] == number for name in names())
    about = f"{index.minutes(number)} minutes, {count} exercise{'s' if count > 1 else ''}"
    return f'- [{number} {index.title(number)}]({index.LESSONS[number].name}) <span class="about">{about}</span>\n'


def home():
    def tree(caption, pages):
        return "\n".join(["```{toctree}", f":caption: {caption}", ":hidden:", ":maxdepth: 1", "", *pages, "```", ""])

    course = parts(index.LESSONS)
    text = (
        "# ATRank, from equation to code\n\nEvery equation of ATRank (Zhou et al., AAAI 2018) with its gradient, derived, "
        "computed and proved. You need Python, NumPy and the calculus of a first year. Lesson 00 shows the whole; after it, read "
        "on in order, or take a shorter route.\n\n## Routes\n\n"
    )
    for wish, way in routes(index.LESSONS):
        text += f'- **{wish}**: {index.links(" ".join(way), " → ")} <span class="about">{index.total(way)} minutes</span>\n'
    text += (
        '\n<p><a href="attention.html">Attention to play with</a>: its forward and backward pass, drawn while you change the '
        "numbers.</p>\n\n## The parts\n\n"
    )
    for name, numbers in course:
        text += f'### {name}\n\n<p class="about">{index.total(numbers)} minutes</p>\n\n{"".join(map(lesson_line, numbers))}\n'
    text += (
        "\n## To look things up\n\n"
        "- [The index](INDEX.md): each equation with its lesson, functions and tests; the letters; the departures from the "
        "paper; common errors of gradient checks\n"
        + "".join(f"- {words}\n" for _, words in PAGES.values())
        + "\nEach lesson can be downloaded as a notebook from its page. Exercises stand at the end of a lesson; "
        "`python -m lessons.exercises watch`, in a clone of the repository, checks your answers while you write them.\n\n"
    )
    for name, numbers in course:
        text += tree(name, [index.LESSONS[number].stem for number in numbers])
    return text + tree("To look things up", ["INDEX", *PAGES])
