"""The array types that signatures name. Shapes stand in a comment beside them, in the letters of `layers`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 in training, float64 in proofs
Ints = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
# Names of the data, of NumPy's StringDType: each takes the room of its own characters, where <U takes that of the longest one.
Texts = NDArray[Any]


def texts(names: Iterable[str]) -> Texts:
    """The names as an array. ValueError for one that is no string."""
    return np.array(list(names), np.dtypes.StringDType(coerce=False))
