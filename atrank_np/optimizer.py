"""Stochastic gradient descent with exponential decay and L2, on dense parameters and on rows of tables.

The objective has λ/2 ‖w‖² over weight matrices and WHOLE embedding tables, so a step is
    w ← (1 - lr λ) w - lr g.
For a table that would touch every row. Instead a table is stored divided by `table_scale`: the shrinking of all its
rows is one multiplication of that number, and only the rows of the batch are written. Every FOLD steps, counted by
step number alone (never because a checkpoint is written, else a resumed run would differ in its last bits), the
scale is multiplied into the tables and starts again at 1.
"""

import numpy as np

from .layers.embedding import Rows
from .parameters import is_decayed, kind

FOLD = 1000


def learning_rate(config, step, total_steps):
    """lr · decay^(step / total steps), continuous; or lr, and lr · decay in the last third."""
    if config.schedule == "step":
        return config.learning_rate * (config.decay if 3 * step >= 2 * total_steps else 1)
    return config.learning_rate * config.decay ** (step / total_steps)


class SGD:
    """The state is (step, table_scale); the parameters belong to the caller."""

    def __init__(self, step=0, table_scale=1.0):
        self.step, self.table_scale = step, table_scale

    def apply(self, params, gradients, rate, l2):
        """One step, in place. gradients: name -> array, or Rows for tables and the item bias."""
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


def fold(params, table_scale):
    """Multiply the scale into the tables, in place."""
    for name, w in params.items():
        if kind(name) == "table":
            w *= w.dtype.type(table_scale)


def folded(params, table_scale):
    """The parameters as the formulas mean them, copied: what is saved and shown."""
    copy = {name: w.copy() for name, w in params.items()}
    fold(copy, table_scale)
    return copy


def clip(gradients, limit):
    """Scale all gradients so that their global norm is at most `limit` (the authors' code: 5); returns the norm."""
    arrays = [g.values if isinstance(g, Rows) else g for g in gradients.values()]
    norm = float(np.sqrt(sum(np.vdot(a, a) for a in arrays)))
    if norm > limit:
        for a in arrays:
            a *= a.dtype.type(limit / norm)
    return norm
