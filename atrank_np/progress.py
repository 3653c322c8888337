"""How far a long computation is: a bar in terminals and notebooks."""

from typing import Any

from tqdm.auto import tqdm


def progress(show: bool, iterable: Any = None, **options: Any) -> Any:
    """A tqdm bar over `iterable`. There is none if show is False, or where the output is a file: then its `disable` is true."""
    # None: tqdm looks itself whether the output is a terminal; in a notebook it draws in any case.
    return tqdm(iterable, disable=None if show else True, dynamic_ncols=True, **options)
