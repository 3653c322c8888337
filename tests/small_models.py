"""Small models and logs for the tests that look inside a ranking."""

import json
import re

import numpy as np
from logs import HEAD, write

from atrank_np.config import Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.evaluation.plots import DAY
from atrank_np.runs.trained import assemble


def longest(log):
    return str(log.users[np.diff(log.offsets).argmax()])


DAYS = {"a": 0, "b": 1, "c": 2, "d": 10}


def a_model_as_it_starts(folder, **settings):
    events = HEAD + "".join(f"u,{name},{DAY * day}\n" for name, day in DAYS.items())
    log = read_log(write(folder, events_csv=events, items_csv="object\n" + "\n".join("abcdefg") + "\n"))
    return assemble(Protocol(log, Config(width=16, spaces=2, dense_init=0.4, table_init=0.6, **settings))), log


WORDS = {"q1": "red", "q2": "red tea", "q3": "tea", "q4": "blue"}


def a_model_of_two_groups(folder):
    """An untrained model, and a log whose last event is later than the time of ranking."""
    days = [(0, "items", "a"), (30, "queries", "q1"), (60, "items", "b"), (99, "queries", "q3")]
    days += [(120, "items", "c"), (200, "items", "d")]
    events = "user,group,object,time\n" + "".join(f"u,{group},{name},{day}\n" for day, group, name in days)
    schema = "[groups.items.features]\nobject = 'id'\n[groups.queries.features]\nobject = 'id'\nwords = 'tokens'\n"
    schema = f"target_repeats = 'keep'\n{schema}"
    items = "object\n" + "\n".join("abcdefg") + "\n"
    queries = "object,words\n" + "".join(f"{name},{words}\n" for name, words in WORDS.items())
    write(folder, events_csv=events, items_csv=items, queries_csv=queries)
    (folder / "schema.toml").write_text(schema)
    log = read_log(folder)
    return assemble(Protocol(log, Config(width=16, spaces=2, dense_init=0.4, table_init=0.6))), log


def data_of(page):
    """The data that `write_page` gave to the script of its page."""
    return json.loads(re.search(r"^const data = (.*?); //", page.read_text("utf-8"), flags=re.M)[1])
