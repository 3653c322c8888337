"""The gradients of a backward pass, by the names of the parameters."""

from collections.abc import Iterable

import numpy as np

from ..arrays import Floats
from ..layers.embedding import Gradient, Rows, sum_rows
from ..parameters import has_unknown


class Gradients:
    """The one place that accumulates: a parameter used twice gets the SUM of its gradients."""

    def __init__(self) -> None:
        self.dense: dict[str, Floats] = {}
        self.rows: dict[str, list[Rows]] = {}

    def add(self, name: str, gradient: Gradient) -> None:
        if isinstance(gradient, Rows):
            self.rows.setdefault(name, []).append(gradient)
        elif name in self.dense:
            self.dense[name] = self.dense[name] + gradient
        else:
            self.dense[name] = gradient

    def add_all(self, prefix: str, names: Iterable[str], gradients: Iterable[Gradient]) -> None:
        """The gradients of the parameters prefix + name. ValueError if their numbers differ."""
        for name, gradient in zip(names, gradients, strict=True):
            self.add(f"{prefix}{name}", gradient)

    def total(self) -> dict[str, Gradient]:
        """name -> array or Rows, without the rows of `unknown`, which are never trained."""
        gradients: dict[str, Gradient] = {**self.dense}
        for name, parts in self.rows.items():
            ids = np.concatenate([part.ids for part in parts])
            values = np.concatenate([part.values for part in parts])
            if has_unknown(name):
                ids, values = ids[ids > 0], values[ids > 0]
            gradients[name] = sum_rows(ids, values)
        return gradients
