"""The array types that signatures name. Shapes stand in a comment beside them, in the letters of `layers`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 in training, float64 in proofs
Ints = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
# Names of the data, of NumPy's StringDType: the memory of a name depends on its own length, not on that of the longest (as <U).
Texts = NDArray[Any]


def texts(names: Iterable[str]) -> Texts:
    """The names as an array. ValueError for a name that is not a string."""
    return np.array(list(names), np.dtypes.StringDType(coerce=False))
