"""All settings of a run in one frozen value. The paper's names; each default that differs from it is in `departures`."""

import operator
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

Settings = dict[str, float | str | bool]  # some fields of Config, by name

# The models, and the defaults in which each differs from ATRank. How they were found: `departures`.
MODELS: dict[str, Settings] = {
    "atrank": {},
    "bpr_mf": {"loss": "pair", "learning_rate": 1.0},
    "bilstm": {"clip": 1.0},
    "bilstm_attention": {"clip": 1.0},
    "cnn": {"clip": 1.0},
}
LABELS = {
    "atrank": "ATRank",
    "bpr_mf": "BPR-MF",
    "bilstm": "Bi-LSTM",
    "bilstm_attention": "Bi-LSTM + attention",
    "cnn": "CNN + max pooling",
}


# What a run is for, and the settings that validation found for it; `--for` on the command line. How: `departures top`.
PURPOSES: dict[str, Settings] = {
    "ranking": {},  # two objects in the right order, which the AUC counts
    "top-n": {  # the first places of the whole catalogue
        "loss": "softmax",
        "negatives": 16,
        "pool": 1024,
        "batch_size": 64 * 17,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "l2": 0.2,
        "dropout": 0.3,
        "gain_init": 0.3,
        "places": 8,
        "epochs": 7,
        "clip": 0.0,
    },
}


class Variant(NamedTuple):
    """ATRank with one thing changed; its classes are in `models.variants` and `models.spaces`."""

    what: str
    settings: Settings = {}  # the defaults in which it differs from ATRank
    compiled: bool = False  # numba computes it too


AUTHORS: Settings = {"l2": 0.0, "clip": 5.0, "learning_rate": 1.0, "schedule": "step", "fresh_negatives": False}
VARIANTS = {
    "": Variant("ATRank itself", compiled=True),
    "printed": Variant("C = F_self(attention), the paper's (6): no residual connection around the self-attention", compiled=True),
    "no_self_attention": Variant("C = F_self(S): behaviours do not attend to each other"),
    "no_time": Variant("no elapsed time", compiled=True),
    "continuous_time": Variant("the logarithm of the elapsed time instead of its bucket"),
    "scaled_scores": Variant("scores of two relu projections, scaled by 1/√d, instead of bilinear ones"),
    "time_concat": Variant("a one-hot of the bucket beside the embedding instead of the sum"),
    "linear_projection": Variant("F_M without its relu"),
    "attention_residual": Variant("residual and layer norm around both attentions, a quarter of F's width"),
    "raw_query": Variant("the target without F_M; its embedding as wide as the model"),
    "activation_l2": Variant("L2 on user vector and target instead of L2 on weights", {"l2": 0.0}),
    "authors": Variant("all changes of the authors' code and its training settings, except its 12 buckets", AUTHORS),
}

# Fields that are whole numbers from 1 to 2^31 - 1, and fields with a choice of values.
MACHINE = ("shards", "threads")
COUNTS = ("width", "spaces", "places", "epochs", "batch_size", "negatives", "eval_negatives", "cap", "evaluations", *MACHINE)
CHOICES: dict[str, tuple[str, ...]] = {
    "model": tuple(MODELS),
    "variant": tuple(VARIANTS),
    "ranking": ("dot", "deep"),
    "loss": ("point", "pair", "softmax"),
    "negatives_by": ("uniform", "popularity"),
    "eval_negatives_by": ("uniform", "popularity"),
    "optimizer": ("sgd", "adam", "adagrad"),
    "schedule": ("exponential", "step"),
    "backend": ("numpy", "numba"),
}


@dataclass(frozen=True)
class Config:
    model: str = "atrank"  # or a competitor, one of MODELS
    variant: str = ""  # of ATRank, one of VARIANTS

    # The model, sections "latent semantic spaces" to "downstream network"
    width: int = 128  # s_all of (1), the hidden size of all layers
    spaces: int = 8  # K of (2); s_k = width / spaces
    ranking: str = "dot"  # f of (8): "dot" or "deep"
    loss: str = "point"  # (8) "point", or "pair", or "softmax"
    item_bias: bool = True  # a number per object added to f
    places: int = 1  # number of embeddings of an action, by its place from the end of the history: `models.common_space`
    dropout: float = 0.0  # in F_self and F_vanilla
    dense_init: float = 0.088  # standard deviation of weight matrices: 1/sqrt(128)
    table_init: float = 0.1  # of embedding, time and action tables
    gain_init: float = 0.1  # gain of F_vanilla's layer norm, and so the scale of e_t

    # Training
    epochs: int = 20
    batch_size: int = 32  # targets: 16 histories with a positive and a negative each
    optimizer: str = "sgd"  # "sgd", "adam" or "adagrad"
    learning_rate: float = 0.5
    table_rate: float = 1.0  # factor of the learning rate for rows of tables and item biases
    decay: float = 0.1  # the rate falls by this factor over the whole run
    schedule: str = "exponential"  # continuously, or in one "step" after two thirds of it
    l2: float = 5e-5  # λ of λ/2 ‖w‖²
    negatives: int = 1  # per positive
    negatives_by: str = "uniform"  # or "popularity": drawn in proportion to training events
    fresh_negatives: bool = True  # drawn anew each epoch, or once
    pool: int = 0  # number of objects from which a batch draws hard negatives (see `hard_negatives`); 0: no hard negatives
    cap: int = 100  # behaviours of a history that are read, the last ones
    clip: float = 0.0  # limit of the gradients' global norm; 0: none
    seed: int = 0

    # Evaluation
    eval_seed: int = 0
    eval_negatives: int = 1  # per test positive
    eval_negatives_by: str = "uniform"  # or "popularity", as in training
    split_time: int | None = None  # test on each user's first target from this tick on; None: on the last one
    validate: bool = False  # evaluate on the last event but one; the test events are not read
    evaluations: int = 10  # test scorings in a run
    patience: int = 0  # stop after so many evaluations without a better validation AUC, and keep the best model; 0: no

    # The machine: none of these changes a result beyond the last bits
    backend: str = "numba"  # or "numpy", the plain definition
    partition: bool = False  # each rank of mpiexec holds the events of its own users only; samples are drawn by partition
    shards: int = 0  # parts of a batch whose gradients are added in order; bits depend on it; 0: 2, with numpy 1
    threads: int = 2  # bits do not depend on it

    def __post_init__(self) -> None:
        """ValueError, one line, for a value that no run can have. NumPy numbers become Python numbers."""
        for field in filter(lambda field: field.type in (int, float), fields(self)):
            value, whole = getattr(self, field.name), field.type is int
            try:
                object.__setattr__(self, field.name, operator.index(value) if whole else float(value))
            except (TypeError, ValueError, OverflowError):
                raise ValueError(f"`{field.name}` must be a {'whole ' * whole}number, not {value!r}") from None
        if self.split_time is not None and not (isinstance(self.split_time, int) and abs(self.split_time) <= 2**62):
            raise ValueError(f"`split_time` must be a time of the log, in ticks, not {self.split_time!r}")
        for name in COUNTS:
            least = 0 if name == "shards" else 1
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` must be at least {least}, not {getattr(self, name)}")
            if getattr(self, name) >= 2**31:
                raise ValueError(f"`{name}` must be below 2^31, not {getattr(self, name)}")
        if self.model in ("atrank", "bilstm_attention") and self.width % self.spaces:
            raise ValueError(f"`width` {self.width} does not divide into {self.spaces} equal spaces")
        if self.batch_size < 1 + self.negatives or self.batch_size % (1 + self.negatives):
            raise ValueError(
                f"`batch_size` {self.batch_size} must be a multiple of {1 + self.negatives}, a positive and its negatives: "
                f"{16 * (1 + self.negatives)} are 16 histories"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must be in [0, 1), not {self.dropout}")
        for name, values in CHOICES.items():
            if getattr(self, name) not in values:
                raise ValueError(f"`{name}` must be one of {', '.join(filter(None, values))}, not {getattr(self, name)!r}")
        if not 0 <= self.pool < 2**31:
            raise ValueError(f"`pool` must be from 0 to 2^31 - 1, not {self.pool}")
        if self.pool and (self.loss != "softmax" or self.ranking != "dot" or self.model == "bpr_mf" or not self.fresh_negatives):
            raise ValueError(
                "a pool needs the softmax loss, the ranking 'dot', fresh negatives, and a model that reads histories"
            )
        if self.model == "bpr_mf" and self.ranking == "deep":
            raise ValueError("bpr_mf ranks by the product of user and object: `ranking` must be 'dot'")
        if self.variant and self.model != "atrank":
            raise ValueError(f"`variant` {self.variant!r} is one of atrank, not of {self.model}")
        if self.backend != "numpy" and not VARIANTS[self.variant].compiled:
            raise ValueError(f"`variant` {self.variant!r} is computed by the backend 'numpy' alone, not by {self.backend!r}")
        for name in ("seed", "eval_seed", "patience"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0, not {getattr(self, name)}")
        if not self.decay > 0:
            raise ValueError(f"`decay` must be above 0, not {self.decay}")
        decrease = self.learning_rate * max(1.0, self.decay) * self.l2
        if decrease >= 0.05:  # below that the tables' scale does not underflow within FOLD steps (optimizer)
            raise ValueError(
                f"the highest learning rate times l2 must be below 0.05, not {decrease}: a step takes that share of a weight away"
            )
        for name in ("learning_rate", "table_rate", "decay", "l2", "clip", "dense_init", "table_init", "gain_init"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"`{name}` must be a number of at least 0, not {getattr(self, name)}")

    @property
    def parts(self) -> int:
        """How many shards a batch has. With NumPy one by default: on one thread, more would only cost time."""
        return self.shards or (1 if self.backend == "numpy" else 2)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def own_settings(model: str = "atrank", variant: str = "", purpose: str = "ranking") -> Settings:
    """The defaults in which a model or a variant, for a purpose, differs from ATRank for ranking."""
    numpy: Settings = {} if VARIANTS[variant].compiled else {"backend": "numpy"}
    no_pool: Settings = {"pool": 0} if model == "bpr_mf" else {}  # it reads no histories
    return MODELS[model] | numpy | VARIANTS[variant].settings | PURPOSES[purpose] | no_pool


def defaults(model: str = "atrank", variant: str = "", purpose: str = "ranking") -> Config:
    """The default Config of a model, or of a variant of ATRank, for one of PURPOSES. ValueError for another name."""
    if purpose not in PURPOSES:
        raise ValueError(f"`purpose` must be one of {', '.join(PURPOSES)}, not {purpose!r}")
    own = own_settings(model, variant, purpose) if model in MODELS and variant in VARIANTS else {}
    settings: dict[str, Any] = {"model": model, "variant": variant} | own
    return Config(**settings)


# The paper's equations and exactly the numbers of its section "hyperparameters"; `--paper` on the command line.
PAPER: Settings = {
    "variant": "printed",
    "width": 128,
    "spaces": 8,
    "ranking": "dot",
    "loss": "point",
    "item_bias": False,
    "batch_size": 32,
    "learning_rate": 1.0,
    "decay": 0.1,
    "l2": 5e-5,
}
