"""The flags of `train`, and what they stand for: the data and a Config."""

import argparse

from atrank_np import cli

from .config import MODELS, PAPER, VARIANTS, Config, own_settings
from .datasets.folder import DataSource, default_data, find_data
from .errors import checked


class _HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to each help, but not to that of a switch, where it would say the opposite of what it means."""

    def _get_help_string(self, action):
        return action.help if action.nargs == 0 or action.default == "" else super()._get_help_string(action)


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.train",
        description="Train ATRank (Zhou et al., AAAI 2018) on a behaviour log and report its average user AUC. "
        "Without arguments it trains on the simulated shop that comes with the package.",
        epilog="A data folder holds events.csv, one CSV of objects per group and optionally schema.toml: see data/README.md.",
        formatter_class=_HelpWithDefaults,
    )
    d = Config()
    data = p.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="DIR",
        help="the data folder (default: the simulated shop); a name is also looked "
        "for below the folder in the variable ATRANK_DATA",
        default=argparse.SUPPRESS,
    )
    data.add_argument("--features", metavar="A,B", help="use these features of the objects only", default=argparse.SUPPRESS)
    data.add_argument("--history", metavar="G,H", help="groups that a history is made of", default=argparse.SUPPRESS)
    data.add_argument("--target", metavar="G,H", help="groups that are ranked", default=argparse.SUPPRESS)
    data.add_argument("--cap", type=int, default=d.cap, help="behaviours of a history that are looked at, the last ones")
    model = p.add_argument_group("the model (equation numbers are the paper's)")
    model.add_argument("--model", choices=MODELS, default=d.model, help="ATRank or a competitor; each has its own defaults")
    model.add_argument(
        "--variant",
        choices=VARIANTS,
        default=d.variant,
        metavar="V",
        help="ATRank with one thing changed: " + ", ".join(filter(None, VARIANTS)),
    )
    model.add_argument("--width", type=int, default=d.width, help="s_all of (1), the hidden size of all layers (of bpr_mf none)")
    model.add_argument(
        "--spaces", type=int, default=d.spaces, help="K of (2), the number of latent semantic spaces (atrank, bilstm_attention)"
    )
    model.add_argument(
        "--embedding-size",
        type=int,
        metavar="E",
        default=argparse.SUPPRESS,
        help="width of every feature embedding (default: what the schema says, else 64)",
    )
    model.add_argument("--ranking", choices=("dot", "deep"), default=d.ranking, help="f of (8)")
    model.add_argument("--loss", choices=("point", "pair"), default=d.loss, help="(8), or its pair-wise form")
    model.add_argument(
        "--dropout", type=float, default=d.dropout, help="rate in F_self (6) and F_vanilla (7), where a model has them"
    )
    model.add_argument(
        "--no-item-bias",
        dest="item_bias",
        action="store_false",
        default=d.item_bias,
        help="no bias per object in f; the paper's formula has none, the authors' code has one",
    )
    training = p.add_argument_group("training")
    training.add_argument("--epochs", type=int, default=d.epochs, help="passes over the training samples")
    training.add_argument("--batch-size", type=int, default=d.batch_size, help="targets in a step, negatives included")
    training.add_argument("--learning-rate", type=float, default=d.learning_rate, help="of SGD, at the first step")
    training.add_argument("--decay", type=float, default=d.decay, help="the rate falls by this factor over the run")
    training.add_argument(
        "--schedule",
        choices=("exponential", "step"),
        default=d.schedule,
        help="the rate falls continuously, or in one step after two thirds of the run",
    )
    training.add_argument("--l2", type=float, default=d.l2, help="weight λ of λ/2 |w|², over matrices and whole tables")
    training.add_argument("--negatives", type=int, default=d.negatives, help="sampled per positive")
    training.add_argument(
        "--negatives-once",
        dest="fresh_negatives",
        action="store_false",
        default=d.fresh_negatives,
        help="draw the negatives once, not afresh each epoch",
    )
    training.add_argument("--clip", type=float, default=d.clip, help="limit of the gradient's global norm, 0: none")
    training.add_argument(
        "--dense-init",
        type=float,
        default=d.dense_init,
        help="deviation of the initial matrices, 1/√128; a narrower model may want more",
    )
    training.add_argument("--table-init", type=float, default=d.table_init, help="deviation of the initial embeddings")
    training.add_argument("--gain-init", type=float, default=d.gain_init, help="initial gain of F_vanilla's layer norm")
    training.add_argument("--seed", type=cli.seed, default=d.seed, help="of everything random in training")
    training.add_argument(
        "--paper",
        action="store_true",
        default=argparse.SUPPRESS,
        help="exactly the paper's numbers: learning rate 1.0, no item bias, embeddings of 64; what it "
        "does not say stays as the model has it, and a flag beside it wins",
    )
    scoring = p.add_argument_group("scoring")
    scoring.add_argument("--eval-seed", type=cli.seed, default=d.eval_seed, help="of the test negatives, the same for all models")
    scoring.add_argument("--eval-negatives", type=int, default=d.eval_negatives, help="per test positive")
    scoring.add_argument("--evaluations", type=int, default=d.evaluations, help="how often the AUC is taken in a run")
    scoring.add_argument(
        "--validate",
        action="store_true",
        help="hold out the last but one behaviour instead: for choices; the test events stay untouched",
    )
    machine = p.add_argument_group("the machine")
    machine.add_argument("--backend", choices=("numpy", "numba"), default=d.backend, help="how to compute")
    machine.add_argument(
        "--threads",
        type=int,
        default=d.threads,
        help="of the numba backend, of which at most --shards work; no bit depends on it",
    )
    machine.add_argument("--shards", type=int, default=d.shards, help="parts of a batch, summed in order; last bits depend on it")
    run = p.add_argument_group("the run")
    run.add_argument(
        "--out", metavar="DIR", help="the run folder (default: the first free runs/NAME-1, -2, …)", default=argparse.SUPPRESS
    )
    run.add_argument(
        "--resume",
        metavar="RUN",
        help="go on with a stopped run, to the same bits as if it had not been "
        "stopped; only --data, --threads and --quiet may stand beside it",
        default=argparse.SUPPRESS,
    )
    run.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def parse(arguments):
    """A namespace of all flags with their defaults."""
    p = parser()
    options = p.parse_args(arguments)
    if own := own_settings(options.model, options.variant):  # parsed again with these defaults, so that a flag beside it wins
        p.set_defaults(**own)
        options = p.parse_args(arguments)
    if "paper" in options:  # parsed again with the paper's numbers as defaults, so that a flag beside --paper wins
        p.set_defaults(**PAPER | {name: own[name] for name in ("loss", "l2") if name in own}, embedding_size=64)
        options = p.parse_args(arguments)
    return options


def given_flags(arguments):
    """Name -> value of the flags that stand in the arguments."""
    # Parsed into a namespace that holds every name already: then argparse puts no defaults into it.
    p = parser()
    blank = argparse.Namespace(**dict.fromkeys(vars(p.parse_args(arguments))))
    return {name: value for name, value in vars(p.parse_args(arguments, blank)).items() if value is not None}


def settings(options: argparse.Namespace) -> tuple[DataSource, Config]:
    """What the flags name."""
    given = vars(options)
    listed = lambda name: list(dict.fromkeys(given[name].split(","))) if name in given else None
    config = checked(Config, **{name: given[name] for name in Config.__dataclass_fields__ if name in given})
    folder = find_data(given.get("data", default_data())).resolve()
    data = DataSource(str(folder), listed("features"), listed("history"), listed("target"), given.get("embedding_size"))
    return data, config
