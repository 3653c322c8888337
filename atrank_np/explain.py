"""Looks inside a trained run: `python -m atrank_np.explain RUN --user U`.

It draws Figures 3 and 4, makes a page of them, leaves out each behaviour to see its effect, and prints Table 4.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import cli
from .arrays import Floats
from .errors import DataError
from .evaluation.attention import ElapsedRow, Inside, arrays, attention_by_elapsed, left_out, look_inside, nearest, targets_of
from .evaluation.plots import draw_self_attention, draw_vanilla_attention, write_page
from .evaluation.ranking import objects_of, target_group
from .runs.files import whole, write_csv
from .runs.folder import note_unfinished, open_run
from .text import folder_name, one_line


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.explain",
        description="Look inside a trained run: self-attention (Figure 3) and vanilla attention (Figure 4) of one user as "
        "PNG and CSV, what each behaviour adds to the logit, an interactive page of all that (explore.html), mean attention "
        "by elapsed days (Table 4), and the nearest objects in the embedding.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--user", metavar="U", required=True, help="a user of the data that the run was trained on")
    p.add_argument("--target", metavar="OBJECT", help="the object to rank (default: the model's first choice)")
    p.add_argument("--group", help="the target group of that object (default: the first)")
    p.add_argument("--at", type=int, metavar="TIME", help="the time of ranking (default: one tick after the last behaviour)")
    p.add_argument("--out", metavar="DIR", help="the folder for pictures and tables (default: RUN/explain/USER)")
    p.add_argument("--samples", type=int, default=20000, help="rankings that Table 4 averages, 0: all (default: %(default)s)")
    p.add_argument(
        "--tick",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="seconds in a tick of the log's time, for ages and days (default: %(default)s)",
    )
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    return p


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    _check(options)
    trained, log, _ = open_run(options.run, options.data)
    note_unfinished(options.run, trained)
    name = trained.config.variant or trained.config.model
    if trained.config.model != "atrank" or name == "no_self_attention":
        raise DataError(f"{options.run}: explain draws self-attention, and {name} has none")
    inside = look_inside(trained, log, options.user, options.target, options.at, options.group)
    if not inside.behaviours:
        raise DataError(f"user {options.user!r}: no behaviour before the time of ranking, so there is no attention to draw")
    out = Path(options.out or Path(options.run) / "explain" / folder_name(options.user))
    out.mkdir(parents=True, exist_ok=True)
    group = target_group(trained.schema, options.group)
    targets = targets_of(trained, log, options.user, inside.target, options.at, group)
    rows = objects_of(trained, group, targets)
    effects = left_out(trained, inside.batch.with_targets(trained.schema.index(group), rows), show=True).T
    insides = [inside, *(look_inside(trained, log, options.user, name, options.at, group) for name in targets[1:])]
    draw_self_attention(out / "self_attention.png", inside, options.tick)
    draw_vanilla_attention(out / "vanilla_attention.png", inside, effects[0], options.tick)
    write_page(out / "explore.html", options.user, insides, effects, options.tick)
    _write_attention(out, inside, effects[0])
    table = attention_by_elapsed(trained, log, options.samples or None, show=True, tick=options.tick)
    write_csv(out / "attention_by_elapsed.csv", ElapsedRow._fields, table)
    alike = nearest(trained, group, inside.target)
    write_csv(out / "nearest.csv", ("object", "nearest", "cosine"), [(inside.target, *row) for row in alike])
    by_name: dict[str, Any] = arrays(trained, inside)
    with whole(out / "arrays.npz") as file:
        np.savez(file, **by_name)
    print(f"user {options.user}: {len(inside.behaviours)} behaviours; {inside.label} is ranked with logit {inside.score:.3f}")
    print(_most_effective(inside, effects[0]))
    print("Table 4: mean vanilla attention by elapsed days, and the share that equal weights would give")
    print(*map(_elapsed_in_words, table), sep="\n")
    print(f"nearest to {inside.label}: " + ", ".join(f"{one_line(name)} {cosine:.2f}" for name, cosine in alike))
    print(
        f"written to {out}: explore.html, an interactive page; self_attention.png, vanilla_attention.png, their numbers "
        "as CSV, and arrays.npz with attention, parameters and this ranking's gradients by name"
    )
    return 0


def _check(options: argparse.Namespace) -> None:
    """DataError for numbers out of range."""
    if options.samples < 0:
        raise DataError(f"--samples: expected at least 0, got {options.samples}")
    if not 0 < options.tick <= 1e9:
        raise DataError(f"--tick: expected seconds above 0 and at most 1e9, got {options.tick}")


def _write_attention(out: Path, inside: Inside, effect: Floats) -> None:  # [n]
    """The numbers of Figures 3 and 4."""
    K, n = inside.vanilla_attention.shape
    write_csv(
        out / "self_attention.csv",
        ("space", "behaviour", *range(1, n + 1)),
        [(k + 1, i + 1, *inside.self_attention[k, i].tolist()) for k in range(K) for i in range(n)],
    )
    rows = []
    for i, weights in enumerate(inside.vanilla_attention.T):
        measured = (*weights.tolist(), float(weights.mean()), float(effect[i]))
        rows.append((i + 1, inside.behaviours[i], int(inside.elapsed[i]), *measured))
    spaces = [f"space {k}" for k in range(1, K + 1)]
    write_csv(out / "vanilla_attention.csv", ("behaviour", "label", "elapsed", *spaces, "mean", "effect"), rows)


def _most_effective(inside: Inside, effect: Floats) -> str:  # [n]
    """The three behaviours that change the logit most, in words."""
    most = np.argsort(-abs(effect), kind="stable")[:3].tolist()
    words = "; ".join(f"{i + 1} {inside.behaviours[i]} {effect[i]:+.3f}" for i in most)
    return f"the largest effects, by how much the logit falls without a behaviour: {words}"


def _elapsed_in_words(row: ElapsedRow) -> str:
    days = f"[{row.from_days}, {'∞' if row.to_days == np.inf else int(row.to_days)})"
    if row.behaviours:
        ratio = row.mean_attention / row.uniform
        shares = f"{row.mean_attention:.4f}   uniform {row.uniform:.4f}   ratio {ratio:.2f}"
    else:
        shares = "-"
    return f"  {days:<10} {shares}   ({row.behaviours})"


if __name__ == "__main__":
    cli.run(main)
