"""The objects of a log, with their features."""

from dataclasses import dataclass
from typing import cast

from ..arrays import Floats, Ints, Texts


@dataclass(frozen=True)
class Bag:
    """A feature of M objects with several values each: object m has ids[offsets[m]:offsets[m + 1]], repeats included."""

    ids: Ints  # int32 [total]
    offsets: Ints  # int64 [M+1]


@dataclass(frozen=True)
class Catalogue:
    """The M objects of one group. Row 0 stands for every unknown object; the others follow in file order.

    The features of row 0 are value 0, an empty bag, or NaN. Names are unique in objects[1:], where an object may be called
    'unknown' as well.
    """

    objects: Texts  # [M]
    features: dict[str, Ints | Floats | Bag]  # int32 [M] (id, categorical), Bag (tokens), float64 [M], NaN: missing (number)

    def codes(self, feature: str) -> Ints:
        """An id or a categorical feature of each object [M]: rows of its table."""
        return cast(Ints, self.features[feature])

    def numbers(self, feature: str) -> Floats:
        """A number of each object [M]; NaN where it is missing."""
        return cast(Floats, self.features[feature])
