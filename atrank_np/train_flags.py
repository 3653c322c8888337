"""The flags of `train`, and what they say: the data and a Config."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import cli
from .config import CHOICES, PAPER, PURPOSES, VARIANTS, Config, own_settings
from .datasets.folder import READING, DataSource, add_flags, default_data, find_data, source_of
from .errors import DataError, checked
from .runs.checkpoint import load
from .runs.folder import settings_of


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to each help text, but not for a switch: "(default: True)" beside --no-item-bias would mislead."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.nargs == 0 or action.default == "" else super()._get_help_string(action)


# The flags that are fields of Config: section -> field -> help. Type, choices and default of a flag are those of its field.
SETTINGS = {
    "the model (equation numbers are the paper's)": {
        "model": "ATRank or a competitor; each has its own defaults",
        "variant": "ATRank with one thing changed: " + ", ".join(filter(None, VARIANTS)),
        "width": "s_all of (1), the hidden size of all layers (bpr_mf has none)",
        "spaces": "K of (2), the number of latent semantic spaces (atrank, bilstm_attention)",
        "ranking": "f of (8)",
        "loss": "(8), its pair-wise form, or a softmax over a positive and its negatives",
        "places": "embeddings of an action, by its place from the end: the last, the 2 before, the 4 before, … (1: one for all)",
        "dropout": "rate in F_self (6) and F_vanilla (7), where a model has them",
        "item_bias": "no bias per object in f; the paper's formula has none, the authors' code has one",
    },
    "training": {
        "epochs": "passes over the training samples",
        "batch_size": "targets in a step, negatives included",
        "optimizer": "the paper's is sgd",
        "learning_rate": "at the first step; adam and adagrad need a lower one",
        "table_rate": "factor of the learning rate, for embeddings and item biases",
        "decay": "the rate falls by this factor over the run",
        "schedule": "the rate falls continuously, or in one step after two thirds of the run",
        "l2": "weight λ of λ/2 |w|², over matrices and whole tables",
        "negatives": "negatives for each positive",
        "negatives_by": "how negatives are drawn; the softmax loss is corrected for popularity",
        "fresh_negatives": "draw the negatives once, not again in each epoch",
        "pool": "with the softmax loss: number of objects from which a batch draws hard negatives (0: no hard negatives)",
        "cap": "the most behaviours that are read of a history: the last ones",
        "clip": "limit of the gradient's global norm (0: none)",
        "dense_init": "standard deviation of the initial matrices, 1/√128; try more for a narrower model",
        "table_init": "standard deviation of the initial embeddings",
        "gain_init": "initial gain of F_vanilla's layer norm",
        "seed": "seed of everything random in training",
    },
    "scoring": {
        "eval_seed": "seed of the test negatives, which are the same for all models",
        "eval_negatives": "negatives for each test positive",
        "eval_negatives_by": "how test negatives are drawn; against popular objects, popularity alone gains nothing",
        "split_time": "train on events before this time, and test on each user's first target at or after it (default: test on "
        "the last target of each user)",
        "patience": "stop after this number of evaluations without a better validation AUC, and keep the best model; each user's "
        "last target before the test is for validation, not for training (0: train to the end)",
        "evaluations": "how often a run computes the AUC",
        "validate": "test on the second-last target instead, to choose settings: the test events are not read",
    },
    "the machine": {
        "backend": "how to compute",
        "threads": "threads of the numba backend (more than --shards do not help); no bit of the result depends on them",
        "shards": "parts of a batch, whose gradients are added in order; the last bits depend on it (0: 2, with numpy 1)",
        "partition": "each rank of mpiexec holds the events of its own users only; each of --shards draws its own samples",
    },
}
SWITCHED_OFF = {"item_bias": "--no-item-bias", "fresh_negatives": "--negatives-once"}
SHORT = {"variant": "V", "split_time": "T", "patience": "N"}  # names of the values in the help


def parser() -> cli.Parser:
    p = cli.Parser(
        prog="python -m atrank_np.train",
        description="Train ATRank (Zhou et al., AAAI 2018) on a behaviour log and report its average user AUC. "
        "Without arguments it trains on the simulated shop that comes with the package.",
        epilog="A data folder holds events.csv, one CSV of objects per group and optionally schema.toml: see data/README.md.",
        formatter_class=_HelpWithDefaults,
    )
    _add_data_flags(p.add_argument_group("data"))
    for section, texts in SETTINGS.items():
        group = p.add_argument_group(section)
        for name, text in texts.items():
            _add_setting(group, name, text)
        if section == "training":
            _add_presets(group.add_mutually_exclusive_group())
    _add_run_flags(p.add_argument_group("the run"))
    return p


def _add_setting(group: argparse._ArgumentGroup, name: str, text: str) -> None:
    value, flag = Config.__dataclass_fields__[name].default, "--" + name.replace("_", "-")
    if isinstance(value, bool):
        action = "store_false" if value else "store_true"
        group.add_argument(SWITCHED_OFF.get(name, flag), dest=name, action=action, default=value, help=text)
    else:
        kind = cli.seed if name.endswith("seed") else int if value is None else type(value)
        value = argparse.SUPPRESS if value is None else value
        choices = CHOICES.get(name)
        group.add_argument(flag, type=kind, choices=choices, metavar=SHORT.get(name), default=value, help=text)


def _optional(group: argparse._ActionsContainer, name: str, help: str, **options: Any) -> None:
    """A flag that is in the namespace only if it is given."""
    group.add_argument(name, help=help, default=argparse.SUPPRESS, **options)


def _add_data_flags(data: argparse._ArgumentGroup) -> None:
    folder = data.add_mutually_exclusive_group()
    _optional(folder, "data", "the same as --data DIR", nargs="?", metavar="DIR")
    text = "the data folder (default: the simulated shop), or its name in the folder that the variable ATRANK_DATA names"
    _optional(folder, "--data", text, metavar="DIR")
    add_flags(data)
    text = "width of every feature embedding (default: that of the schema, else 64)"
    _optional(data, "--embedding-size", text, type=int, metavar="E")


def _add_presets(preset: argparse._MutuallyExclusiveGroup) -> None:
    preset.add_argument(
        "--for",
        dest="purpose",
        choices=PURPOSES,
        default="ranking",
        help="presets: ranking for the order of two objects (AUC), top-n for the first places of the whole catalogue; other "
        "flags override them",
    )
    _optional(
        preset,
        "--paper",
        "exactly what the paper says: its equations as printed, learning rate 1.0, no item bias, embeddings of 64; other "
        "settings keep the model's defaults, and other flags override --paper",
        action="store_true",
    )


def _add_run_flags(run: argparse._ArgumentGroup) -> None:
    text = "the run folder (default: the first free one of runs/NAME-1, -2, …)"
    _optional(run, "--out", text, metavar="DIR", type=cli.folder)
    _optional(
        run,
        "--resume",
        "continue a stopped run; its result has the same bits as without the stop. Only --data, --threads and --quiet may be "
        "given too",
        metavar="RUN",
    )
    _optional(
        run,
        "--warm-start",
        "begin with the parameters and settings of another run; other flags override its settings. The data may have grown: "
        "new objects, users and values get new rows",
        metavar="RUN",
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """All flags. The defaults are those of the model, variant and purpose that the arguments name."""
    p = parser()
    options = p.parse_args(arguments)
    # Parsed again with other defaults, so that a given flag overrides them.
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
    """Name -> value of the flags that are in the arguments."""
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
    """The data and the Config of a run that begins where another run ended. Given flags override those of that run."""
    for name in sorted({"features", "history", "target", "embedding_size", "paper"} & given.keys()):
        raise DataError(f"--warm-start: keeps features, groups and sizes of the run; --{name.replace('_', '-')} cannot be chosen")
    chosen = {name: given[name] for name in Config.__dataclass_fields__ if name in given}
    config: Config = checked(replace, load(given["warm_start"]).config, **chosen)
    source, _, _ = settings_of(given["warm_start"], given.get("data"))
    reading = {name: given[name] for name in READING if name in given}
    return replace(source, data=str(find_data(given.get("data", source.data)).resolve()), **reading), config
