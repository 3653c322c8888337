"""Stochastic gradient descent with exponential decay and L2, on dense parameters and on rows of tables.

The objective has λ/2 ‖w‖² over weight matrices and WHOLE embedding tables, so a step is
    w ← (1 - lr λ) w - lr g.
For a table that would write every row. Instead a table is stored divided by `table_scale`. The shrinking of all its rows is
then one multiplication of that number, and only the rows of the batch are written.

Every FOLD steps the scale is folded into the tables: they are multiplied by it, and it starts again at 1. The step number
alone decides when, never the writing of a checkpoint: else a resumed run would differ in its last bits.
"""

from collections.abc import Mapping

import numpy as np

from .config import Config
from .layers.embedding import Gradient, Rows
from .parameters import Params, is_decayed, kind

FOLD = 1000


def learning_rate(config: Config, step: int, total_steps: int) -> float:
    """lr · decay^(step / total steps), continuous; with the schedule "step" lr, and lr · decay in the last third."""
    if config.schedule == "step":
        return config.learning_rate * (config.decay if 3 * step >= 2 * total_steps else 1)
    factor: float = config.decay ** (step / total_steps)
    return config.learning_rate * factor


class SGD:
    """The state is (step, table_scale); the caller holds the parameters."""

    def __init__(self, step: int = 0, table_scale: float = 1.0) -> None:
        self.step, self.table_scale = step, table_scale

    def apply(self, params: Params, gradients: Mapping[str, Gradient], rate: float, l2: float) -> None:
        """One step, in place. gradients: name -> array, or Rows for tables and the item bias. l2: λ."""
        keep = 1 - rate * l2
        self.table_scale *= keep
        for name, gradient in gradients.items():
            w = params[name]
            if isinstance(gradient, Rows):
                scale = self.table_scale if kind(name) == "table" else 1.0
                w[gradient.ids] -= w.dtype.type(rate / scale) * gradient.values
            else:
                if is_decayed(name):
                    w *= w.dtype.type(keep)
                w -= w.dtype.type(rate) * gradient
        self.step += 1
        if self.step % FOLD == 0:
            fold(params, self.table_scale)
            self.table_scale = 1.0


def fold(params: Params, table_scale: float) -> None:
    """Multiply the scale into the tables, in place."""
    for name, w in params.items():
        if kind(name) == "table":
            w *= w.dtype.type(table_scale)


def unscaled(params: Params, table_scale: float) -> Params:
    """A copy of the parameters as they stand in the formulas, with no scale: they are shown like this."""
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
