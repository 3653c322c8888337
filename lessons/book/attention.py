"""The interactive page for attention: lesson 09's numbers, with the bars and colours of `explain`'s page (explore.html)."""

import contextlib
import io
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import jupytext
import numpy as np

from atrank_np.evaluation.plots import PAGE
from lessons import index

TEMPLATE = Path(__file__).resolve().parent / "attention.html"
ARRAYS = "S", "P_W", "P_b", "W", "Q_W", "Q_b", "dc"


def lesson_arrays():
    """The arrays of lesson 09's one space, from its first cells, run until all of them are there."""
    script, scope = index.LESSONS["09"], {"__name__": "lesson"}
    sys.path.insert(0, str(script.parent))
    with tempfile.TemporaryDirectory() as pictures, contextlib.redirect_stdout(io.StringIO()):
        os.environ["LESSON_PICTURES"] = pictures
        for cell in jupytext.read(script, fmt="py:percent").cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, script.name, "exec"), scope)
            if scope.keys() >= set(ARRAYS):
                return {name: np.atleast_2d(scope[name]) for name in ARRAYS}
    raise LookupError(f"{script.name} does not have all of {', '.join(ARRAYS)}")


def write(path):
    """One file that needs nothing else."""
    explore = PAGE.read_text(encoding="utf-8")
    engine = re.findall(r"^(?:function (?:add|cell|bar)\(.*?^}|const (?:find|dark) = .*?;)$", explore, re.MULTILINE | re.DOTALL)
    data = json.dumps({name: array.round(6).tolist() for name, array in lesson_arrays().items()})
    text = TEMPLATE.read_text(encoding="utf-8")
    style = re.search("<style>\n(.*?)</style>", explore, re.DOTALL)[1]
    for name, part in (("STYLE", style), ("ENGINE", "\n\n".join(engine)), ("DATA", data)):
        text = text.replace(f'"{name}"', part)
    path.write_text(text, encoding="utf-8")
