"""Links of Markdown pages of the repository, turned to the pages of the book."""

import re

from lessons import index

LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./(\w+)/([\w/]+)\.py\)")  # as lessons.index writes it: name, folder, file

NOT_IN_THE_LIST = "---\norphan: true\n---\n\n"  # begins a page that is found by links, not in the list of all pages


def label(folder, file, name):
    return re.sub(r"\W", "-", f"{folder}-{file}-{name}")


def in_book(text):
    text = LINK.sub(lambda m: f"[`{m[1]}`](#{label(m[2], m[3], m[1])})", text)
    text = re.sub(r"\]\((\w+)\.py\)", r"](/\1.ipynb)", text)
    text = re.sub(r"(?<![\[`])\b(lesson (\d\d))\b(?![`\]])", to_lesson, text)
    return re.sub(r"\]\(\.\./(?:lessons/|(?=data/))", "](/", text)  # what stands in lessons/ is at the top of the book


def to_lesson(found):
    """The words `lesson 07` as a link to it."""
    script = index.LESSONS.get(found[2])
    return f"[{found[1]}](/{script.stem}.ipynb)" if script else found[1]


def road(row):
    """Where an equation goes: its row of the index as an item of a list."""
    parts = [
        f"{what} {index.links(names, ', ')}"
        for what, names in zip(("forward", "backward", "kernel", "test", "lesson"), row[2:])
        if names
    ]
    return f"- {row.equation} {row.formula}: {' → '.join(parts)}\n"
