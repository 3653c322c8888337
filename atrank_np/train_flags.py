"""The flags of `train`, and what they stand for: the data and a Config."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import cli
from .config import CHOICES, MODELS, PAPER, PURPOSES, VARIANTS, Config, own_settings
from .datasets.folder import READING, DataSource, add_flags, default_data, find_data, source_of
from .errors import DataError, checked
from .runs.checkpoint import load
from .runs.folder import settings_of


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to each help text, but not for a switch: "(default: True)" beside --no-item-bias would mislead."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.nargs == 0 or action.default == "" else super()._get_help_string(action)


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.train",
        description="Train ATRank (Zhou et al., AAAI 2018) on a behaviour log and report its average user AUC. "
        "Without arguments it trains on the simulated shop that comes with the package.",
        epilog="A data folder holds events.csv, one CSV of objects per group and optionally schema.toml: see data/README.md.",
        formatter_class=_HelpWithDefaults,
    )
    default = Config()
    _add_data_flags(p.add_argument_group("data"), default)
    _add_model_flags(p.add_argument_group("the model (equation numbers are the paper's)"), default)
    _add_training_flags(p.add_argument_group("training"), default)
    _add_scoring_flags(p.add_argument_group("scoring"), default)
    _add_machine_flags(p.add_argument_group("the machine"), default)
    _add_run_flags(p.add_argument_group("the run"))
    return p


# argparse.SUPPRESS: a flag that is not given is not in the namespace.


def _add_data_flags(data: argparse._ArgumentGroup, default: Config) -> None:
    folder = data.add_mutually_exclusive_group()
    folder.add_argument("data", nargs="?", metavar="DIR", help="the same as --data DIR", default=argparse.SUPPRESS)
    folder.add_argument(
        "--data",
        metavar="DIR",
        help="the data folder (default: the simulated shop); a name is also looked up below the folder that the variable "
        "ATRANK_DATA names",
        default=argparse.SUPPRESS,
    )
    add_flags(data)
    data.add_argument("--cap", type=int, default=default.cap, help="behaviours of a history that are read, the last ones")


def _add_model_flags(model: argparse._ArgumentGroup, default: Config) -> None:
    model.add_argument("--model", choices=MODELS, default=default.model, help="ATRank or a competitor; each has its own defaults")
    model.add_argument(
        "--variant",
        choices=VARIANTS,
        default=default.variant,
        metavar="V",
        help="ATRank with one thing changed: " + ", ".join(filter(None, VARIANTS)),
    )
    model.add_argument(
        "--width", type=int, default=default.width, help="s_all of (1), the hidden size of all layers (bpr_mf has none)"
    )
    model.add_argument(
        "--spaces",
        type=int,
        default=default.spaces,
        help="K of (2), the number of latent semantic spaces (atrank, bilstm_attention)",
    )
    model.add_argument(
        "--embedding-size",
        type=int,
        metavar="E",
        default=argparse.SUPPRESS,
        help="width of every feature embedding (default: that of the schema, else 64)",
    )
    model.add_argument("--ranking", choices=CHOICES["ranking"], default=default.ranking, help="f of (8)")
    model.add_argument(
        "--loss",
        choices=CHOICES["loss"],
        default=default.loss,
        help="(8), its pair-wise form, or a softmax over a positive and its negatives",
    )
    model.add_argument(
        "--dropout", type=float, default=default.dropout, help="rate in F_self (6) and F_vanilla (7), where a model has them"
    )
    model.add_argument(
        "--no-item-bias",
        dest="item_bias",
        action="store_false",
        default=default.item_bias,
        help="no bias per object in f; the paper's formula has none, the authors' code has one",
    )


def _add_training_flags(training: argparse._ArgumentGroup, default: Config) -> None:
    training.add_argument("--epochs", type=int, default=default.epochs, help="passes over the training samples")
    training.add_argument("--batch-size", type=int, default=default.batch_size, help="targets in a step, negatives included")
    training.add_argument("--optimizer", choices=CHOICES["optimizer"], default=default.optimizer, help="the paper's is sgd")
    training.add_argument(
        "--learning-rate",
        type=float,
        default=default.learning_rate,
        help="at the first step; adam and adagrad need a lower one",
    )
    training.add_argument(
        "--table-rate",
        type=float,
        default=default.table_rate,
        help="embeddings and item biases are trained with the learning rate times it",
    )
    training.add_argument("--decay", type=float, default=default.decay, help="the rate falls by this factor over the run")
    training.add_argument(
        "--schedule",
        choices=CHOICES["schedule"],
        default=default.schedule,
        help="the rate falls continuously, or in one step after two thirds of the run",
    )
    training.add_argument("--l2", type=float, default=default.l2, help="weight λ of λ/2 |w|², over matrices and whole tables")
    training.add_argument("--negatives", type=int, default=default.negatives, help="sampled for each positive")
    training.add_argument(
        "--negatives-by",
        choices=CHOICES["negatives_by"],
        default=default.negatives_by,
        help="how they are drawn; the softmax loss is corrected for popularity",
    )
    training.add_argument(
        "--negatives-once",
        dest="fresh_negatives",
        action="store_false",
        default=default.fresh_negatives,
        help="draw the negatives once, not afresh in each epoch",
    )
    training.add_argument(
        "--pool",
        type=int,
        default=default.pool,
        help="with the softmax loss: objects of a batch among which hard negatives are sought, 0: none are",
    )
    training.add_argument("--clip", type=float, default=default.clip, help="limit of the gradient's global norm, 0: none")
    training.add_argument(
        "--dense-init",
        type=float,
        default=default.dense_init,
        help="standard deviation of the initial matrices, 1/√128; try more for a narrower model",
    )
    training.add_argument(
        "--table-init", type=float, default=default.table_init, help="standard deviation of the initial embeddings"
    )
    training.add_argument("--gain-init", type=float, default=default.gain_init, help="initial gain of F_vanilla's layer norm")
    training.add_argument("--seed", type=cli.seed, default=default.seed, help="of everything random in training")
    preset = training.add_mutually_exclusive_group()
    preset.add_argument(
        "--for",
        dest="purpose",
        choices=PURPOSES,
        default="ranking",
        help="presets: ranking sorts two objects rightly most often (AUC), top-n fills the first places of the whole "
        "catalogue; a flag beside it wins",
    )
    preset.add_argument(
        "--paper",
        action="store_true",
        default=argparse.SUPPRESS,
        help="exactly what the paper has: its equations as printed, learning rate 1.0, no item bias, embeddings of 64; what it "
        "does not say keeps the model's default, and a flag beside --paper wins",
    )


def _add_scoring_flags(scoring: argparse._ArgumentGroup, default: Config) -> None:
    scoring.add_argument(
        "--eval-seed", type=cli.seed, default=default.eval_seed, help="of the test negatives, the same for all models"
    )
    scoring.add_argument("--eval-negatives", type=int, default=default.eval_negatives, help="for each test positive")
    scoring.add_argument(
        "--eval-negatives-by",
        choices=CHOICES["eval_negatives_by"],
        default=default.eval_negatives_by,
        help="how they are drawn; against popular objects, popularity alone gains nothing",
    )
    scoring.add_argument(
        "--split-time",
        type=int,
        metavar="T",
        default=argparse.SUPPRESS,
        help="train on what is before this time, and test on each user's first target from it on (default: test on the last "
        "target of each user)",
    )
    scoring.add_argument(
        "--patience",
        type=int,
        metavar="N",
        default=default.patience,
        help="stop after N evaluations without a better validation AUC, and keep the best model; the last target before the "
        "test is not trained on, but validates (0: train to the end)",
    )
    scoring.add_argument("--evaluations", type=int, default=default.evaluations, help="how often a run computes the AUC")
    scoring.add_argument(
        "--validate",
        action="store_true",
        help="score the last behaviour but one instead, to choose settings: the test events are not read",
    )


def _add_machine_flags(machine: argparse._ArgumentGroup, default: Config) -> None:
    machine.add_argument("--backend", choices=CHOICES["backend"], default=default.backend, help="how to compute")
    machine.add_argument(
        "--threads",
        type=int,
        default=default.threads,
        help="of the numba backend, of which at most --shards work; no bit depends on it",
    )
    machine.add_argument(
        "--shards", type=int, default=default.shards, help="parts of a batch, summed in order; last bits depend on it"
    )


def _add_run_flags(run: argparse._ArgumentGroup) -> None:
    run.add_argument(
        "--out",
        metavar="DIR",
        help="the run folder (default: the first free one of runs/NAME-1, -2, …)",
        default=argparse.SUPPRESS,
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a stopped run; it ends with the same bits as one that was not stopped. "
        "Only --data, --threads and --quiet may stand beside it",
        default=argparse.SUPPRESS,
    )
    run.add_argument(
        "--warm-start",
        metavar="RUN",
        help="begin where another run ended, with its settings and those that are given, on data that may have grown: new "
        "objects, users and values get new rows, the others keep theirs",
        default=argparse.SUPPRESS,
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """A namespace of all flags with their defaults, those of the model or variant that the arguments name."""
    p = parser()
    options = p.parse_args(arguments)
    # Parsed again with other defaults: so a flag that is given wins over them.
    own = own_settings(options.model, options.variant, options.purpose)
    if own:
        p.set_defaults(**own)
        options = p.parse_args(arguments)
    if "paper" in options:
        kept = {name: own[name] for name in ("loss", "l2") if name in own}  # they define the model or variant
        paper = PAPER if options.model == "atrank" else PAPER | {"variant": ""}  # a competitor has no variant
        p.set_defaults(**paper | kept, embedding_size=64)
        options = p.parse_args(arguments)
    return options


def given_flags(arguments: Sequence[str]) -> dict[str, Any]:
    """Name -> value of the flags that stand in the arguments."""
    # argparse puts no default into a namespace that holds the name already.
    p = parser()
    blank = argparse.Namespace(**dict.fromkeys(vars(p.parse_args(arguments))))
    return {name: value for name, value in vars(p.parse_args(arguments, blank)).items() if value is not None}


def settings(options: argparse.Namespace) -> tuple[DataSource, Config]:
    """The data and the Config that the flags name."""
    given = vars(options)
    config = checked(Config, **{name: given[name] for name in Config.__dataclass_fields__ if name in given})
    folder = find_data(given.get("data", default_data())).resolve()
    return source_of(folder, given), config


def warm_settings(given: dict[str, Any]) -> tuple[DataSource, Config]:
    """The data and the Config of a run that begins where another one ended: those of that run, but for the given flags."""
    for name in sorted({"features", "history", "target", "embedding_size", "paper"} & given.keys()):
        raise DataError(f"--warm-start: keeps features, groups and sizes of the run; --{name.replace('_', '-')} cannot be chosen")
    chosen = {name: given[name] for name in Config.__dataclass_fields__ if name in given}
    config: Config = checked(replace, load(given["warm_start"]).config, **chosen)
    source, _, _ = settings_of(given["warm_start"], given.get("data"))
    reading = {name: given[name] for name in READING if name in given}
    return replace(source, data=str(find_data(given.get("data", source.data)).resolve()), **reading), config
