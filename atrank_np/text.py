"""Texts for people: names on one line, and tables in Markdown."""


def one_line(name):
    """A name of the data as it is shown: it may hold line ends."""
    return " ".join(name.split())


def table(*columns, rows):
    """`markdown` of anything, padded, so that it is read as easily in a terminal."""
    cells = [[str(cell) for cell in row] for row in [columns, *rows]]
    width = [max(map(len, column)) for column in zip(*cells)]
    header, *padded = [[cell.ljust(w) for cell, w in zip(row, width)] for row in cells]
    return markdown(header, padded)


def markdown(header, rows):
    """A Markdown table of strings."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["-" * max(len(name), 3) for name in header], *rows])
