"""What all lessons share: where the package is, how a picture looks, and the scoreboard of gradients."""

import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # a clone finds its own package, installed or not

from atrank_np.gradcheck import compare, dense, numeric_gradient

STYLE = {
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}


@contextmanager
def figure(name, rows=1, columns=1, size=(7, 4)):
    """with figure("softmax", columns=2) as (fig, axes): … writes pictures/softmax.png, and shows it in a notebook.

    axes is one, or an array of them; size in inches. The folder is $LESSON_PICTURES, or `pictures` beside the lessons.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    folder = Path(os.environ.get("LESSON_PICTURES") or HERE / "pictures")
    with rc_context(STYLE):
        fig = Figure(figsize=size, layout="constrained")  # no window and no pyplot: a Figure alone draws with Agg
        yield fig, fig.subplots(rows, columns)
        folder.mkdir(parents=True, exist_ok=True)
        fig.savefig(folder / f"{name}.png", dpi=120)
    if "ipykernel" in sys.modules:
        from IPython.display import Image, display

        display(Image(folder / f"{name}.png"))
    else:
        print(f"picture: {folder.name}/{name}.png")


def scoreboard(*rows):
    """Each row is (name, analytic gradient, x, f), where the number f(x) is the rest of the computation from x on.

    x is an array, or a plain number. An array is moved in place and put back, so f may also read it from outside.
    Prints for each row the relative error of the analytic gradient against the numeric one, and whether it is within the
    project's limit (lesson 02). True if all are.
    """
    checks = []
    for name, analytic, x, f in rows:
        if not isinstance(x, np.ndarray):
            analytic, x = float(analytic), np.array(x, np.float64)
        checks.append(compare(name, dense(analytic, x.shape), partial(numeric_gradient, f, x)))
    for check in checks:
        place = f" at {list(check.entry)}" if check.entry else ""
        verdict = "OK" if check.ok else f"WRONG{place}: {check.cause}"
        print(f"  {check.name:12} relative error {check.error:7.1e}   {verdict}")
    return all(check.ok for check in checks)
