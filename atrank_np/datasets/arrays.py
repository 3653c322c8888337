"""The array types that the signatures of this package name. Shapes stand in a comment or docstring beside them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer[Any]]  # of any width; where the width matters, a comment says which
Floats = NDArray[np.floating[Any]]
Numbers = NDArray[np.number[Any]]
Mask = NDArray[np.bool_]
Texts = NDArray[np.str_]
