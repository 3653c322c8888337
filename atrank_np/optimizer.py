"""SGD, Adam and Adagrad with exponential decay and L2, on dense parameters and on rows of tables.

For SGD, the paper's optimiser, the objective has λ/2 ‖w‖² over weight matrices and WHOLE embedding tables. So a step is
    w ← (1 - lr λ) w - lr g.
For a table that would write every row. Instead a table is stored divided by `table_scale`. The shrinking of all its rows is
then one multiplication of that number, and only the rows of the batch are written.

Every FOLD steps the scale is folded into the tables: they are multiplied by it, and it starts again at 1. The step number
alone decides when, not the writing of a checkpoint: else a resumed run would differ in its last bits.

Adam and Adagrad divide each number's gradient by its usual size (`Rule`). The shrinking is that of SGD, separate from the
gradients (Loshchilov and Hutter 2019 call it decoupled weight decay). They, too, write only the rows of the batch that have a
gradient. The moments of other rows do not change (as in torch.optim.SparseAdam); Adam's correction uses the number of all steps.
Tables of elapsed time and of actions are small, and nearly all of their rows are in every batch: they are dense parameters.
"""

from collections.abc import Mapping
from types import EllipsisType
from typing import NamedTuple

import numpy as np

from .arrays import Floats, Ints
from .config import Config
from .layers.embedding import Gradient, Rows
from .parameters import Params, has_unknown, is_decayed, kind

FOLD = 1000
Moments = dict[str, Params]  # "mean", "square" -> name -> an array like the parameter


class Rule(NamedTuple):
    """For each number, from its gradient g at step t = 1, 2, …

    mean ← β₁ mean + (1 - β₁) g
    square ← β₂ square + γ g²
    w ← w - rate · (mean / c₁) / (√(square / c₂) + ε),  c₁ = 1 - β₁ᵗ,  c₂ = 1 - β₂ᵗ

    The moments begin at 0; c₁ and c₂ make weighted means of them (Adam's bias correction). Adagrad is the rule without mean
    (β₁ = 0: the mean is the gradient), and with the sum of all squares (β₂ = γ = c₂ = 1).
    """

    beta1: float
    beta2: float
    gamma: float
    epsilon: float

    @property
    def moments(self) -> tuple[str, ...]:
        """What is kept from step to step."""
        return ("mean", "square") if self.beta1 else ("square",)

    def corrections(self, step: int) -> tuple[float, float]:
        """c₁, c₂"""
        return 1 - self.beta1**step, 1 - self.beta2**step if self.beta2 < 1 else 1.0


ADAM = Rule(beta1=0.9, beta2=0.999, gamma=1 - 0.999, epsilon=1e-8)  # Kingma and Ba 2015, Algorithm 1
ADAGRAD = Rule(beta1=0.0, beta2=1.0, gamma=1.0, epsilon=1e-10)  # Duchi et al. 2011, with PyTorch's ε
RULES: dict[str, Rule | None] = {"sgd": None, "adam": ADAM, "adagrad": ADAGRAD}


def learning_rate(config: Config, step: int, total_steps: int) -> float:
    """lr · decay^(step / total steps), continuous; with the schedule "step" lr, and lr · decay in the last third."""
    if config.schedule == "step":
        return config.learning_rate * (config.decay if 3 * step >= 2 * total_steps else 1)
    factor: float = config.decay ** (step / total_steps)
    return config.learning_rate * factor


class SGD:
    """The state is (step, table_scale); the caller holds the parameters.

    table_rate: factor of the learning rate, for rows of tables and for item biases.
    """

    def __init__(self, step: int = 0, table_scale: float = 1.0, table_rate: float = 1.0) -> None:
        self.step, self.table_scale, self.table_rate = step, table_scale, table_rate
        self.moments: Moments = {}

    def apply(self, params: Params, gradients: Mapping[str, Gradient], rate: float, l2: float) -> None:
        """One step, in place. gradients: name -> array, or Rows for tables and the item bias. l2: λ."""
        keep = 1 - rate * l2
        self.table_scale *= keep
        self.step += 1
        for name, gradient in gradients.items():
            w = params[name]
            own_rate = rate * self.table_rate if has_unknown(name) else rate
            scale = self.table_scale if kind(name) == "table" else 1.0
            if is_decayed(name) and kind(name) != "table":
                w *= w.dtype.type(keep)
            rows, g = _rows(name, gradient, w)
            w[rows] -= w.dtype.type(own_rate / scale) * self.direction(name, rows, g)
        if self.step % FOLD == 0:
            fold(params, self.table_scale)
            self.table_scale = 1.0

    def direction(self, name: str, rows: Ints | EllipsisType, g: Floats) -> Floats:
        """The direction of a step, for rows with the gradient g: the rate times it is subtracted."""
        return g


def _rows(name: str, gradient: Gradient, w: Floats) -> tuple[Ints | EllipsisType, Floats]:
    """The rows that a step writes, and their gradients: rows with a gradient other than 0, or all of a dense parameter."""
    if not isinstance(gradient, Rows):
        return ..., gradient
    ids, values = gradient
    if has_unknown(name):
        used = values.any(axis=tuple(range(1, values.ndim)))
        return ids[used], values[used]
    whole = np.zeros_like(w)
    whole[ids] = values
    return ..., whole


class Adaptive(SGD):
    """Follows a Rule. The state is (step, table_scale, moments); without moments it begins with zeros."""

    def __init__(self, rule: Rule, params: Params, step: int, table_scale: float, table_rate: float, moments: Moments) -> None:
        super().__init__(step, table_scale, table_rate)
        self.rule = rule
        self.moments = moments or {moment: {name: np.zeros_like(w) for name, w in params.items()} for moment in rule.moments}

    def direction(self, name: str, rows: Ints | EllipsisType, g: Floats) -> Floats:
        beta1, beta2, gamma, epsilon = self.rule
        c1, c2 = self.rule.corrections(self.step)
        mean, square = g, self.moments["square"][name]
        if beta1:
            means = self.moments["mean"][name]
            mean = means[rows] = beta1 * means[rows] + (1 - beta1) * g
        square[rows] = beta2 * square[rows] + gamma * g**2
        direction: Floats = mean / c1 / (np.sqrt(square[rows] / c2) + epsilon)
        return direction


def fold(params: Params, table_scale: float) -> None:
    """Multiplies the tables by the scale, in place."""
    for name, w in params.items():
        if kind(name) == "table":
            w *= w.dtype.type(table_scale)


def unscaled(params: Params, table_scale: float) -> Params:
    """A copy of the parameters as in the formulas, without the scale. They are shown like this."""
    copy = {name: w.copy() for name, w in params.items()}
    fold(copy, table_scale)
    return copy


def clip(gradients: Mapping[str, Gradient], limit: float) -> float:
    """Scales all gradients, in place, so that their global norm is at most `limit` (the authors' code: 5). -> the norm."""
    arrays = [g.values if isinstance(g, Rows) else g for g in gradients.values()]
    norm = float(np.sqrt(sum(np.vdot(a, a) for a in arrays)))
    if norm > limit:
        for a in arrays:
            a *= a.dtype.type(limit / norm)
    return norm
