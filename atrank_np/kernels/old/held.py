"""One value that holds many. Python hands each array over at every call, a quarter of a microsecond each; a step has fifty.

What stays the same from step to step is handed over once: `held = hold((a, b))`, and inside a kernel `a, b = held.value`.
"""

from numba import njit, types
from numba.experimental import structref


@structref.register
class HeldType(types.StructRef):
    pass


class Held(structref.StructRefProxy):
    """To Python a mere reference."""


structref.define_boxing(HeldType, Held)
structref.define_constructor(Held, HeldType, ["value"])


@njit(cache=True)
def hold(value):
    return Held(value)
