"""The pictures: AUC against samples, Figures 2, 3 and 4 of the paper, and an interactive page."""

import contextlib
import functools
import json
import re
import sys
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np

from ..arrays import Floats
from ..config import LABELS
from ..runs.files import whole, write_text
from ..runs.trained import COLUMNS
from ..text import shortened
from .attention import DAY, Inside
from .paired import Runs
from .report import describe

PAGE = Path(__file__).with_name("explore.html")
P = ParamSpec("P")


def picture(draw: Callable[P, Any]) -> Callable[Concatenate[Path, P], None]:
    """Turns a function that returns a Figure into one that writes it to a file. The path is the new first argument.

    Letters that the default font lacks are drawn with other fonts of the system. A line on stderr says if no font has them. A
    picture that cannot be drawn must not end a run, so its error is one line too.
    """

    @functools.wraps(draw)
    def write(path: Path, /, *arguments: P.args, **settings: P.kwargs) -> None:
        try:
            lacking = _write(path, lambda: draw(*arguments, **settings), [])
            if lacking and (fonts := _fonts_with(lacking)):
                lacking = _write(path, lambda: draw(*arguments, **settings), fonts)
            if lacking:
                some = shortened(" ".join(sorted(lacking)[:5]))
                print(f"{path.name}: no font of this system has {some}; install one, such as Noto Sans CJK", file=sys.stderr)
        except Exception as fault:  # no folder for matplotlib's own files, a full disk, a damaged font, …
            print(shortened(f"{path}: not drawn: {fault}"), file=sys.stderr)

    return write


def new_figure(width: float, height: float) -> Any:
    """A matplotlib Figure, in inches; without pyplot it needs no window, and a notebook keeps its own settings."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _write(path: Path, draw: Callable[[], Any], fonts: Sequence[str]) -> set[str]:
    """Writes a PNG. -> the letters that none of the fonts has. fonts: names, used after the default one."""
    import matplotlib

    with matplotlib.rc_context({"font.family": ["sans-serif", *fonts]}), warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        figure = draw()
        with whole(path) as file:
            figure.savefig(file, dpi=120, format="png")
    found = (re.match(r"Glyph (\d+) ", str(warning.message)) for warning in heard)
    return {chr(int(glyph[1])) for glyph in found if glyph}


def _fonts_with(letters: set[str]) -> list[str]:
    """Names of fonts of this system that together have these letters, if fonts have them. Plain fonts come first."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    names, lacking = [], set(letters)
    fonts = [font for font in font_manager.fontManager.ttflist if not font.name.startswith("Last Resort")]  # it draws only boxes
    for font in sorted(fonts, key=lambda font: (font.style != "normal", font.weight not in (400, "normal"))):
        with contextlib.suppress(OSError, RuntimeError):  # a font that matplotlib cannot read
            has = {letter for letter in lacking if FT2Font(font.fname).get_char_index(ord(letter))}
            if has:
                names.append(font.name)
                lacking -= has
        if not lacking:
            break
    return names


@picture
def draw_self_attention(inside: Inside, tick: float = 1.0) -> Any:
    """Figure 3: a heat map for each space; row i shows the weights of behaviour i. tick: seconds in a tick of the log's time."""
    K, n, _ = inside.self_attention.shape
    columns, brightest = min(4, K), inside.self_attention.max(initial=0)
    rows = -(-K // columns)
    side = max(3.1, 0.14 * min(n, 25) if columns > 1 else 4.5)  # inches of a panel, with room for 25 labels
    figure = new_figure(side * columns + 3.5, side * rows + 1)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for k, panel in enumerate(axes.flat):
        if k >= K:
            panel.axis("off")
            continue
        image = panel.imshow(inside.self_attention[k], vmin=0, vmax=brightest, cmap="viridis")
        panel.set_title(f"space {k + 1}", fontsize=10)
        few, many = (np.arange(0, n, -(-n // most)) for most in (10, 25))
        panel.set_xticks(few, [str(i + 1) for i in few], fontsize=7)
        panel.set_yticks(many, [_label(inside, i, tick) for i in many], fontsize=7)
    figure.colorbar(image, ax=axes, shrink=0.7, label="weight that the row's behaviour gives to the column's")
    return figure


@picture
def draw_vanilla_attention(inside: Inside, effect: Floats, tick: float = 1.0) -> Any:  # [n]
    """Figure 4: (a) mean over the spaces, with the uniform share; (b) each space. Ours: (c) the effect of each behaviour.

    effect: of `attention.left_out`.
    """
    K, n = inside.vanilla_attention.shape
    figure = new_figure(15, 0.28 * n + 2.4)
    mean, spaces, without = figure.subplots(1, 3, sharey=True)
    mean.barh(np.arange(n), inside.vanilla_attention.mean(0), color="C0")
    mean.axvline(1 / max(n, 1), color="C1", linestyle="--", label="uniform share 1/n")
    mean.set_yticks(np.arange(n), [_label(inside, i, tick) for i in range(n)], fontsize=8)
    mean.invert_yaxis()
    mean.set_xlabel("weight, mean over the spaces")
    mean.set_title(f"(a) ranking {_as_text(_cut(inside.label))}, logit {inside.score:.2f}", fontsize=10)
    figure.legend(loc="outside lower left", fontsize=8)
    image = spaces.imshow(inside.vanilla_attention.T, aspect="auto", vmin=0, cmap="viridis")
    spaces.set_xticks(np.arange(K), [str(k + 1) for k in range(K)])
    spaces.set_xlabel("space")
    spaces.set_title("(b) weight in each space", fontsize=10)
    figure.colorbar(image, ax=spaces)
    without.barh(np.arange(n), effect, color=np.where(effect < 0, "C1", "C0"))
    without.axvline(0, color="0.4", linewidth=0.8)
    without.set_xlabel("how far the logit falls without it")
    without.set_title("(c) the same history without that behaviour", fontsize=10)
    for panel in (mean, without):
        panel.locator_params(axis="x", nbins=5)
    return figure


def write_page(path: Path, user: str, insides: Sequence[Inside], effects: Floats, tick: float = 1.0) -> None:  # [T,n]
    """A page for a browser, in one file: Figures 3 and 4 of one history for any behaviour, space and target.

    insides: one for each of the T targets; effects: of `attention.left_out`.
    """
    first = insides[0]
    targets = []
    for inside, effect in zip(insides, effects):
        vanilla = _rounded(inside.vanilla_attention)
        targets.append({"name": inside.label, "score": round(inside.score, 3), "vanilla": vanilla, "effect": _rounded(effect)})
    data = {
        "user": str(user),
        "behaviours": [{"label": label, "age": _age(time, tick)} for label, time in zip(first.behaviours, first.elapsed)],
        "self": _rounded(first.self_attention),
        "targets": targets,
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")  # so that no name can end the page's script
    write_text(path, PAGE.read_text("utf-8").replace('"DATA"', text))


def _rounded(array: Floats) -> Any:
    """Nested lists of numbers with four digits."""
    return [_rounded(part) for part in array] if array.ndim else float(f"{array:.4g}")


def _label(inside: Inside, i: int, tick: float) -> str:
    """Number, label and age of behaviour i, short enough to stand beside an axis."""
    return f"{i + 1}  {_as_text(_cut(inside.behaviours[i]))}, {_age(inside.elapsed[i], tick)}"


def _age(elapsed: float, tick: float) -> str:
    seconds = int(elapsed * tick)
    for name, unit in (("d", DAY), ("h", 3600)):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds // 60} min"


def _cut(label: str) -> str:
    return label if len(label) <= 26 else label[:25] + "…"


def _as_text(name: str) -> str:
    """The name for matplotlib, which reads text between two $ as a formula."""
    return name.replace("$", r"\$")


@picture
def draw_curve(rows: Sequence[Sequence[float]], report: dict[str, Any]) -> Any:
    """Test AUC against samples seen, with one standard error, and the controls as lines. rows: those of metrics.csv."""
    table, label = dict(zip(COLUMNS, np.array(rows).T)), LABELS[report["config"]["model"]]
    if report["config"]["variant"]:
        label += f", {report['config']['variant']}"
    figure = new_figure(7, 4.3)
    axes = figure.subplots()
    samples, auc, se = table["samples"], table["test_auc"], table["test_auc_se"]
    axes.fill_between(samples, auc - se, auc + se, alpha=0.25, linewidth=0)
    what = f"{label}, validation" if "kept" in report else label
    axes.plot(samples, auc, marker="o", label=f"{what}, ± 1 standard error")
    lines = (
        ("ceiling_auc", "ceiling of the simulator", "C2"),
        ("popularity_auc", "popularity alone", "C1"),
        ("swapped_history_auc", f"{label}, histories swapped", "C3"),
    )
    for name, what, colour in lines:
        if report[name] is not None:
            axes.axhline(report[name], linestyle="--", color=colour, linewidth=1.2, label=f"{what} {report[name]:.3f}")
    title = describe(report, report["config"]["validate"])[0].split(" (")[0]
    axes.set(xlabel="training samples seen (targets)", ylabel="average user AUC", title=title, xlim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    return figure


@picture
def draw_comparison(results: Collection[Runs], reference: Runs) -> Any:
    """Figure 2: AUC against samples seen and against seconds of training. Thin lines are seeds, a thick line is their mean."""
    from matplotlib.ticker import LogLocator

    report = reference.reports[0]
    figure = new_figure(11, 4.6)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, column in zip(axes, ("samples", "seconds")):
        for i, runs in enumerate(results):
            x, y = ([curve[name] for curve in runs.curves] for name in (column, "test_auc"))
            ax.plot(np.transpose(x), np.transpose(y), color=f"C{i}", linewidth=0.7, alpha=0.4)
            ax.plot(np.mean(x, axis=0), np.mean(y, axis=0), color=f"C{i}", linewidth=2, label=runs.label)
        for name, label, style in (("ceiling_auc", "ceiling", "--"), ("popularity_auc", "popularity alone", ":")):
            if report[name] is not None:
                ax.axhline(report[name], linestyle=style, color="0.4", linewidth=1.2, label=label)
        ax.grid(alpha=0.3)
    axes[0].set(xlabel="training samples seen (targets)", ylabel="average user AUC", xlim=(0, None))
    axes[1].set(xlabel="seconds of training", xscale="log")
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].xaxis.set_major_formatter("{x:g}")
    axes[1].minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure
