"""Small behaviour logs for tests. Objects are named a, b, c, …, so that row 1 is a, row 2 is b, …"""

from pathlib import Path

import numpy as np

from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Samples

SHOP = Path(__file__).parent.parent / "data" / "shop"
HEAD = "user,object,time\n"
a, b, c, d, e, f, g = range(1, 8)
COLOURS = "object,category\nx,red\ny,\nz,red\n"
ITEMS = "object\n" + "\n".join("abcdefg") + "\n"

# A log of `one_group` in which objects are shown and not taken, and its schema.
SHOWN = (
    "u a 1 view,u b 1 show,u c 2 show,u c 2 show,u gone 2 show,u d 3 view,u e 3 show,u a 3 show,u f 4 show,u g 5 view,u b 6 show,"
    "v a 1 view,v b 2 view,v g 4 show,v c 3 view,w e 1 show,w a 1 view,w b 1 view,w c 2 view,w f 2 show,w e 2 show"
)
NEGATIVE = "duplicates = 'keep'\n[groups.items]\nnegative_actions = ['show']"


def write(folder, **files):
    """Writes texts or bytes to files of the folder: events_csv is events.csv."""
    for name, data in files.items():
        data = data if isinstance(data, bytes) else data.encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def one_group(folder, events, schema=""):
    """A log of items; events: "user object time" or "user object time action", separated by commas."""
    rows = [event.split() for event in events.split(",")]
    columns = "user,object,time" + ",action" * (len(rows[0]) == 4)
    text = "\n".join([columns, *map(",".join, rows)]) + "\n"
    schema = schema and {"schema_toml": f"{schema}\n[groups.items.features]\nobject = 'id'\n"}
    return read_log(write(folder, events_csv=text, items_csv=ITEMS, **(schema or {})))


def several_groups(folder, events, schema=""):
    """A log of the groups items (0, written i) and queries (1, written q); events: "user group object time"."""
    text = "\n".join(["user,group,object,time", *(",".join(event.split()) for event in events.split(","))]) + "\n"
    text = text.replace(",i,", ",items,").replace(",q,", ",queries,")
    schema += "\n[groups.items.features]\nobject = 'id'\n[groups.queries.features]\nobject = 'id'\n"
    return read_log(write(folder, events_csv=text, items_csv=ITEMS, queries_csv=ITEMS, schema_toml=schema))


def rows(samples):
    """(user, start, end, time, group, object) of each sample."""
    return [tuple(map(int, row)) for row in zip(*samples)]


def moments(users, group=0):
    """Samples of these users, without history, time and object."""
    zeros = np.zeros(len(users), np.int64)
    return Samples(np.array(users, np.int32), zeros, zeros, zeros, np.full(len(users), group, np.int8), zeros)
