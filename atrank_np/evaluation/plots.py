"""The pictures: AUC against samples, Figures 2, 3 and 4 of the paper, and a page to look around in."""

import json
from pathlib import Path

import numpy as np

from ..config import LABELS
from ..runs.folder import COLUMNS
from .report import describe

DAY = 86400
PAGE = Path(__file__).with_name("explore.html")
# For names that the usual font has no letters for: those of these fonts that the system has.
FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "PingFang SC",
         "Hiragino Sans GB", "Malgun Gothic", "Arial Unicode MS")  # fmt: skip


def draw_self_attention(path, inside, tick=1.0):
    """Figure 3: a heat map for each space; row i shows where behaviour i looks. tick: seconds of a tick of the log's time."""
    plt = _pyplot()
    K, n, _ = inside.self_attention.shape
    columns, brightest = min(4, K), inside.self_attention.max(initial=0)
    side = max(3.1, 0.14 * min(n, 25) if columns > 1 else 4.5)  # inches: 25 labels need room
    figure, axes = plt.subplots(
        -(-K // columns),
        columns,
        figsize=(side * columns + 3.5, side * -(-K // columns) + 1),
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
    figure.colorbar(image, ax=axes, shrink=0.7, label="weight: the row's behaviour looks at the column's")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_vanilla_attention(path, inside, effect, tick=1.0):
    """Figure 4: (a) averaged over the spaces, with the uniform share; (b) per space. And (c) what of it matters: effect [n]
    of `attention.left_out`."""
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


def write_page(path, user, insides, effects, tick=1.0):
    """A page for a browser, in one file: any behaviour, space and target at a touch, for all Figures 3 and 4 of one history.

    insides: Inside of each target; effects: [targets, n], of `attention.left_out`.
    """
    first = insides[0]
    data = {
        "user": str(user),
        "behaviours": [{"label": label, "age": _age(time, tick)} for label, time in zip(first.behaviours, first.elapsed)],
        "self": _rounded(first.self_attention),
        "targets": [{"name": inside.label, "score": round(inside.score, 3), "vanilla": _rounded(inside.vanilla_attention),
                     "effect": _rounded(effect)} for inside, effect in zip(insides, effects)],
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":")).replace("<", r"\u003c")  # a name cannot end the script that it stands in
    path.write_text(PAGE.read_text("utf-8").replace('"DATA"', text), "utf-8")


def _rounded(array):
    """To four digits, as nested lists."""
    return [_rounded(part) for part in array] if array.ndim else float(f"{array:.4g}")


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import font_manager, pyplot

    known = set(font_manager.get_font_names())
    matplotlib.rcParams["font.family"] = ["sans-serif", *(name for name in FONTS if name in known)]
    return pyplot


def _label(inside, i, tick):
    """Number, label and age of behaviour i, cut to fit beside an axis."""
    return f"{i + 1}  {_as_text(_cut(inside.behaviours[i]))}, {_age(inside.elapsed[i], tick)}"


def _age(elapsed, tick):
    seconds = int(elapsed * tick)
    for name, unit in (("d", DAY), ("h", 3600)):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds // 60} min"


def _cut(label):
    return label if len(label) <= 26 else label[:25] + "…"


def _as_text(name):
    """For matplotlib, which sets as mathematics what stands between two $."""
    return name.replace("$", r"\$")


def draw_curve(path, rows, report):
    """Test AUC against samples seen, with one standard error, and the controls as lines: a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table, label = dict(zip(COLUMNS, np.array(rows).T)), LABELS[report["config"]["model"]]
    if variant := report["config"]["variant"]:
        label += f", {variant}"
    figure, axes = plt.subplots(figsize=(7, 4.3), layout="constrained")
    axes.fill_between(
        table["samples"],
        table["test_auc"] - table["test_auc_se"],
        table["test_auc"] + table["test_auc_se"],
        alpha=0.25,
        linewidth=0,
    )
    axes.plot(table["samples"], table["test_auc"], marker="o", label=f"{label}, ± 1 standard error")
    lines = (
        ("ceiling_auc", "ceiling of the simulator", "C2"),
        ("popularity_auc", "popularity alone", "C1"),
        ("swapped_history_auc", f"{label}, histories swapped", "C3"),
    )
    for name, label, colour in lines:
        if report[name] is not None:
            axes.axhline(report[name], linestyle="--", color=colour, linewidth=1.2, label=f"{label} {report[name]:.3f}")
    axes.set_xlim(left=0)
    axes.set_xlabel("training samples seen (targets)")
    axes.set_ylabel("average user AUC")
    axes.set_title(describe(report, report["config"]["validate"])[0].split(" (")[0])
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_comparison(path, results, reference):
    """Figure 2: AUC against samples seen and against seconds of training; a thick line is the mean of its thin ones."""
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
