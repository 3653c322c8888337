"""The array types that signatures name. Shapes stand in a comment beside them, in the letters of `layers`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 in training, float64 in proofs
Ints = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Texts = NDArray[np.str_]  # names and cells of the data
