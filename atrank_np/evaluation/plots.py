"""The pictures: AUC against samples, Figures 2, 3 and 4 of the paper, and an interactive page."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Floats
from ..config import LABELS
from ..runs.folder import COLUMNS
from .attention import DAY, Inside
from .paired import Runs
from .report import describe

PAGE = Path(__file__).with_name("explore.html")
# Names may have letters that the default font lacks: of these fonts, those that the system has are used too.
FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Malgun Gothic",
    "Arial Unicode MS",
)


def draw_self_attention(path: Path, inside: Inside, tick: float = 1.0) -> None:
    """Figure 3: a heat map for each space; row i shows the weights of behaviour i. tick: seconds in a tick of the log's time."""
    plt = _pyplot()
    K, n, _ = inside.self_attention.shape
    columns, brightest = min(4, K), inside.self_attention.max(initial=0)
    rows = -(-K // columns)
    side = max(3.1, 0.14 * min(n, 25) if columns > 1 else 4.5)  # inches of a panel, with room for 25 labels
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(side * columns + 3.5, side * rows + 1),
        layout="constrained",
        squeeze=False,
        sharex=True,
        sharey=True,
    )
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_vanilla_attention(path: Path, inside: Inside, effect: Floats, tick: float = 1.0) -> None:  # [n]
    """Figure 4: (a) mean over the spaces, with the uniform share; (b) each space. Ours: (c) the effect of each behaviour.

    effect: of `attention.left_out`.
    """
    plt = _pyplot()
    K, n = inside.vanilla_attention.shape
    figure, (mean, spaces, without) = plt.subplots(1, 3, figsize=(15, 0.28 * n + 2.4), layout="constrained", sharey=True)
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
        panel.xaxis.set_major_locator(plt.MaxNLocator(5))
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
    path.write_text(PAGE.read_text("utf-8").replace('"DATA"', text), "utf-8")


def _rounded(array: Floats) -> Any:
    """Nested lists of numbers with four digits."""
    return [_rounded(part) for part in array] if array.ndim else float(f"{array:.4g}")


def _pyplot() -> Any:
    """matplotlib.pyplot, without a window and with the fonts that names may need."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import font_manager, pyplot

    present = set(font_manager.get_font_names())
    matplotlib.rcParams["font.family"] = ["sans-serif", *(name for name in FONTS if name in present)]
    return pyplot


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
    """For matplotlib, which reads text between two $ as a formula."""
    return name.replace("$", r"\$")


def draw_curve(path: Path, rows: Sequence[Sequence[float]], report: dict[str, Any]) -> None:
    """A PNG: test AUC against samples seen, with one standard error, and the controls as lines.

    rows: of metrics.csv.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table, label = dict(zip(COLUMNS, np.array(rows).T)), LABELS[report["config"]["model"]]
    if report["config"]["variant"]:
        label += f", {report['config']['variant']}"
    figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    axes.fill_between(
        table["samples"],
        table["test_auc"] - table["test_auc_se"],
        table["test_auc"] + table["test_auc_se"],
        alpha=0.25,
        linewidth=0,
    )
    what = f"{label}, validation" if "kept" in report else label
    axes.plot(table["samples"], table["test_auc"], marker="o", label=f"{what}, ± 1 standard error")
    lines = (
        ("ceiling_auc", "ceiling of the simulator", "C2"),
        ("popularity_auc", "popularity alone", "C1"),
        ("swapped_history_auc", f"{label}, histories swapped", "C3"),
    )
    for name, what, colour in lines:
        if report[name] is not None:
            axes.axhline(report[name], linestyle="--", color=colour, linewidth=1.2, label=f"{what} {report[name]:.3f}")
    axes.set_xlim(left=0)
    axes.set_xlabel("training samples seen (targets)")
    axes.set_ylabel("average user AUC")
    axes.set_title(describe(report, report["config"]["validate"])[0].split(" (")[0])
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_comparison(path: Path, results: Collection[Runs], reference: Runs) -> None:
    """Figure 2: AUC against samples seen and against seconds of training. Thin lines are seeds, a thick line is their mean."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator

    report = reference.reports[0]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
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
    figure.savefig(path, dpi=120)
    plt.close(figure)
