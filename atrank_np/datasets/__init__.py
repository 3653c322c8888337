"""From files and arrays to a log, from a log to samples and batches."""

from .log import Log


def load_shop() -> Log:
    """The log of the simulated shop that comes with the package: 2,000 users, 320 items, queries and coupons.

    >>> load_shop().users[:3].tolist()
    ['u0', 'u1', 'u2']
    """
    from .folder import default_data  # imported here, because the rest of the package does not need it
    from .reading import read_log

    return read_log(default_data())
