"""Looks inside a trained run: `python -m atrank_np.explain RUN --user U`.

It draws Figures 3 and 4, makes a page of them, leaves each behaviour out to see what it does, and prints Table 4.
"""

import csv
from pathlib import Path

import numpy as np

from . import cli
from .errors import DataError
from .evaluation.attention import arrays, attention_by_elapsed, left_out, look_inside, nearest, row_of, targets_of
from .evaluation.plots import draw_self_attention, draw_vanilla_attention, write_page
from .evaluation.ranking import target_group
from .runs.folder import open_run
from .text import one_line


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.explain",
        description="Look inside a trained run: self-attention (Figure 3) and vanilla attention (Figure 4) of one user as "
        "PNG and CSV, what each behaviour adds to the logit, all that in a page to look around in (explore.html), mean attention "
        "by elapsed days (Table 4), and the nearest objects in the embedding.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--user", metavar="U", required=True, help="a user of the data that the run was trained on")
    p.add_argument("--target", metavar="OBJECT", help="the object to rank (default: the model's first choice)")
    p.add_argument("--group", help="the target group of that object (default: the first)")
    p.add_argument("--at", type=int, metavar="TIME", help="the time of ranking (default: one tick after the last behaviour)")
    p.add_argument("--out", metavar="DIR", help="where pictures and tables go (default: RUN/explain)")
    p.add_argument("--samples", type=int, default=20000, help="rankings that Table 4 averages, 0: all (default: %(default)s)")
    p.add_argument(
        "--tick",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long a tick of the log's time is, for ages and days (default: %(default)s)",
    )
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.samples < 0:
        raise DataError(f"--samples: expected at least 0, got {options.samples}")
    if not 0 < options.tick <= 1e9:
        raise DataError(f"--tick: expected seconds above 0 and at most 1e9, got {options.tick}")
    trained, log, _ = open_run(options.run, options.data)
    name = trained.config.variant or trained.config.model
    if trained.config.model != "atrank" or name == "no_self_attention":
        raise DataError(f"{options.run}: explain draws self-attention, and {name} has none")
    inside = look_inside(trained, log, options.user, options.target, options.at, options.group)
    if not inside.behaviours:
        raise DataError(f"user {options.user!r}: no behaviour before the time of ranking, so there is no attention to draw")
    out = Path(options.out or Path(options.run) / "explain")
    out.mkdir(parents=True, exist_ok=True)
    group = target_group(trained.schema, options.group)
    targets = targets_of(trained, log, options.user, inside.target, options.at, group)
    rows = [row_of(trained, group, name) for name in targets]
    effects = left_out(trained, inside.batch.with_targets(trained.schema.index(group), rows), show=True).T
    insides = [inside, *(look_inside(trained, log, options.user, name, options.at, group) for name in targets[1:])]
    draw_self_attention(out / "self_attention.png", inside, options.tick)
    draw_vanilla_attention(out / "vanilla_attention.png", inside, effects[0], options.tick)
    write_page(out / "explore.html", options.user, insides, effects, options.tick)
    K, n = inside.vanilla_attention.shape
    spaces = range(1, K + 1)
    write_csv(
        out / "self_attention.csv",
        ("space", "behaviour", *range(1, n + 1)),
        [(k + 1, i + 1, *inside.self_attention[k, i].tolist()) for k in range(K) for i in range(n)],
    )
    write_csv(
        out / "vanilla_attention.csv",
        ("behaviour", "label", "elapsed", *(f"space {k}" for k in spaces), "mean", "effect"),
        [(i + 1, inside.behaviours[i], int(inside.elapsed[i]), *w.tolist(), float(w.mean()), float(effects[0, i]))
         for i, w in enumerate(inside.vanilla_attention.T)],
    )  # fmt: skip
    table = attention_by_elapsed(trained, log, options.samples or None, show=True, tick=options.tick)
    write_csv(out / "attention_by_elapsed.csv", ("from_days", "to_days", "behaviours", "mean_attention", "uniform"), table)
    alike = nearest(trained, group, inside.target)
    write_csv(out / "nearest.csv", ("object", "nearest", "cosine"), [(inside.target, *row) for row in alike])
    np.savez(out / "arrays.npz", **arrays(trained, inside))
    print(f"user {options.user}: {n} behaviours; {inside.label} is ranked with logit {inside.score:.3f}")
    most = sorted(range(n), key=lambda i: -abs(effects[0, i]))[:3]
    print("what matters most, how far the logit falls without it: "
          + "; ".join(f"{i + 1} {inside.behaviours[i]} {effects[0, i]:+.3f}" for i in most))  # fmt: skip
    print("Table 4: mean vanilla attention by elapsed days, beside the share that equal weights would give")
    for first, last, count, mean, uniform in table:
        label = f"[{first}, {'∞' if last == np.inf else int(last)})"
        shares = f"{mean:.4f}   uniform {uniform:.4f}   ratio {mean / uniform:.2f}" if count else "-"
        print(f"  {label:<10} {shares}   ({count})")
    print(f"nearest to {inside.label}: " + ", ".join(f"{one_line(name)} {cosine:.2f}" for name, cosine in alike))
    print(f"written to {out}: explore.html, a page to look around in; self_attention.png, vanilla_attention.png, their numbers "
          "as CSV, and arrays.npz with attention, parameters and this ranking's gradients by name")  # fmt: skip
    return 0


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    cli.run(main)
