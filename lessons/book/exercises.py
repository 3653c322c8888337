"""The exercises as parts of the book: on their lesson's page, with hints to unfold; each solution on a page of its own."""

import re
from html import escape

from lessons.exercises import exercise, is_transfer, names
from lessons.exercises.desk import SOLUTIONS, solution_text

from .links import NOT_IN_THE_LIST


def text_as_html(text):
    """Plain text with `code`, as HTML."""
    return re.sub("`([^`]+)`", r'<code class="docutils literal">\1</code>', escape(text.strip()))


def fold(title, inside):
    """What is read only on request."""
    return f"<details><summary>{title}</summary>\n{inside}\n</details>"


def has_solution(name):
    return (SOLUTIONS / f"{name}.py").exists()


def section(number, own):
    """Markdown of the exercises of a lesson."""
    parts = [
        f"## Exercises\n\n`python -m lessons.exercises watch {number}`, in the repository's folder, begins the files for your "
        "answers, and checks an answer each time that you save it."
    ]
    for name in own:
        told = exercise(name)
        blocks = [f"### {told.TITLE[0].upper()}{told.TITLE[1:]}"]
        if is_transfer(name):
            blocks.append('<p class="transfer">A transfer task: its answer stands nowhere in the lesson.</p>')
        blocks.append(f'<pre class="task">{lines(told.TASK)}</pre>')
        blocks.append(fold("The file to start from", f"<pre>{lines(told.STUB)}</pre>"))
        for i, hint in enumerate(told.HINTS, 1):
            blocks.append(fold(f"Hint {i} of {len(told.HINTS)}", f"<p>{text_as_html(hint)}</p>"))
        if has_solution(name):
            blocks.append(f"[A solution, on a page of its own](/solutions/{name}.md)")
        parts.append("\n\n".join(blocks))
    return "\n\n".join(parts)


def lines(text):
    """Of a <pre> element; empty ones have a space, since an empty line would end the HTML in Markdown."""
    return re.sub(r"\n[ ]*(?=\n)", "\n&#8203;", text_as_html(text))


def write_solutions(source, lessons):
    """A page for each solution. lessons: number -> script."""
    (source / "solutions").mkdir()
    for name in filter(has_solution, names()):
        told, script = exercise(name), lessons[name[1:3]]
        lesson = f"[lesson {name[1:3]}](/{script.stem}.ipynb#exercises)"
        text = f"{NOT_IN_THE_LIST}# A solution of {name}\n\n{told.TITLE}, an exercise of {lesson}.\n\n"
        text += f'<pre class="task">{lines(told.TASK)}</pre>\n\n```python\n{solution_text(name)}\n```\n\n'
        text += f'<pre class="task">{lines(told.EXPLAIN)}</pre>\n'
        (source / "solutions" / f"{name}.md").write_text(text, encoding="utf-8")
