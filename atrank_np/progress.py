"""How far a long computation is: a bar in terminals and notebooks."""

from typing import Any

from tqdm.auto import tqdm


def progress(show: bool, iterable: Any = None, **options: Any) -> Any:
    """A tqdm bar over `iterable`. If show is False, or if the output is a file, it is not drawn and its `disable` is true."""
    # None: tqdm itself checks whether the output is a terminal. In a notebook it always draws.
    return tqdm(iterable, disable=None if show else True, dynamic_ncols=True, **options)
