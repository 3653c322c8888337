"""Whatever comes from a file or a caller is checked before a kernel reads it (case 17)."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from atrank_np.config import Config
from atrank_np.datasets.catalogue import Bag
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Events
from atrank_np.errors import ArgumentError, DataError
from atrank_np.evaluation.ranking import log_of
from atrank_np.runs.checkpoint import load
from atrank_np.runs.growth import known


def about(**changes):
    def change(arrays):
        arrays["about"] = np.array(json.dumps(json.loads(str(arrays["about"])) | changes))

    return change


def put(name, make):
    def change(arrays):
        arrays[name] = make(arrays[name])

    return change


CRAFTED = {
    "codes": put("feature/items/category", lambda a: a + 1_000_000),
    "one code": put("feature/items/object", lambda a: np.where(np.arange(len(a)) == 9, 21, a).astype(a.dtype)),
    "negative codes": put("feature/items/category", lambda a: a - 1000),
    "codes that are numbers": put("feature/items/category", lambda a: a.astype(float)),
    "too few codes": put("feature/items/category", lambda a: a[:-1]),
    "bag ids": put("bag/queries/words", lambda a: a + 1_000_000_000),
    "bag offsets": put("bag offsets/queries/words", lambda a: a + 1_000_000_000),
    "bag offsets that fall": put("bag offsets/queries/words", lambda a: a[[0, 3, 2, 1, *range(4, len(a))]]),
    "infinite numbers": put("feature/items/price", lambda a: a * np.inf),
    "target actions": about(target_actions=[10**9, 10**9]),
    "another count of target actions": about(target_actions=[0]),
    "big endian": put("param/self.P.b", lambda a: a.astype(">f4")),
    "float64": put("param/self.P.b", lambda a: a.astype(float)),
    "NaN": put("param/self.P.b", lambda a: np.full_like(a, np.nan)),
    "one infinity": put("param/table.words", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, np.inf, a).astype("f4")),
    "fewer names": put("table/words", lambda a: a[:-1]),
    "no names": put("table/words", lambda a: a[:0]),
    "names that are numbers": put("objects/items", lambda a: np.arange(len(a))),
    "a step below 0": about(step=-1),
    "a step that is text": about(step="7"),
    "a scale of 0": about(table_scale=0.0),
    "a scale that is NaN": about(table_scale=float("nan")),
    "statistics": about(statistics={}),
    "statistics that are infinite": about(statistics={"items.price": [0.0, float("inf")]}),
    "actions": about(actions=["click", "click", "search", "show"]),
    "a huge width": put("about", lambda a: np.array(str(a).replace('"width": 8', '"width": 2000000000'))),
    "a deep list": put("about", lambda a: np.array('{"format":' + "[" * 100_000)),
}


@pytest.mark.parametrize("kind", CRAFTED)
def test_a_crafted_model(kind, trained_run, tmp_path):
    with np.load(trained_run / "model.npz") as file:
        arrays = dict(file)
    CRAFTED[kind](arrays)
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(DataError) as fault:
        load(tmp_path)
    assert re.fullmatch(rf"{tmp_path}/model.npz: not a whole model of this program \(.+\); train it again", str(fault.value))
    assert len(str(fault.value)) <= 300


def test_an_archive_that_would_unpack_to_gigabytes(trained_run, tmp_path):
    with np.load(trained_run / "model.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "model.npz", nobody_asked=np.zeros(9), **arrays)
    load(tmp_path)  # what the format does not have is not read
    np.savez_compressed(tmp_path / "model.npz", nobody_asked=np.zeros(9_000_000), **arrays)
    with pytest.raises(DataError, match="its arrays are compressed"):
        load(tmp_path)


def bag(log):
    words = log.catalogues["queries"].features["words"]
    log.catalogues["queries"].features["words"] = Bag(words.ids, words.offsets + 1)


LOGS = {
    "object": lambda log: log.object.__setitem__(3, 1_000_000),
    "an object below 0": lambda log: log.object.__setitem__(3, -5),
    "action": lambda log: log.action.__setitem__(3, 99),
    "group": lambda log: log.group.__setitem__(3, 2),
    "a time before": lambda log: log.time.__setitem__(log.offsets[1] - 1, -9),
    "a time that no log can hold": lambda log: log.time.__setitem__(slice(None), 2**62 + 1),
    "offsets": lambda log: log.offsets.__setitem__(1, 10**6),
    "offsets that fall": lambda log: log.offsets.__setitem__(slice(1, 3), log.offsets[[2, 1]]),
    "a feature": lambda log: log.catalogues["items"].features["category"].__setitem__(2, 10**6),
    "a bag": bag,
    "a feature that is missing": lambda log: log.catalogues["items"].features.pop("category"),
    "a table that is missing": lambda log: log.tables.pop("words"),
    "floats": lambda log: setattr(log, "object", log.object.astype(float)),
    "too short": lambda log: setattr(log, "object", log.object[:-1]),
    "a list": lambda log: setattr(log, "object", log.object.tolist()),
    "a number": lambda log: setattr(log, "group", np.array(0, np.int8)),
}


@pytest.mark.parametrize("kind", LOGS)
def test_a_crafted_log(kind, tiny, trained_run):
    log = read_log(tiny)
    LOGS[kind](log)
    with pytest.raises(ArgumentError) as fault:
        Protocol(log, Config())
    assert len(str(fault.value)) <= 300
    with pytest.raises(ArgumentError):
        known(load(trained_run), log)


@pytest.mark.parametrize(
    "group, object, action, time", [(0, 1_000_000, 0, 5), (0, -5, 0, 5), (0, 3, 99, 5), (2, 3, 0, 5), (0, 3, 0, 2**62 + 1)]
)
def test_a_crafted_history(group, object, action, time, opened):
    events = Events(*(np.array([value]) for value in (group, object, action, time)))
    with pytest.raises(ArgumentError, match=r"^\w+( of items)?: expected numbers from -?\d+ to \d+, got -?\d+$"):
        log_of(opened[0], events)
    sound = log_of(opened[0], Events(*(np.array([value]) for value in (0, 3, 0, 5))))
    assert replace(sound, counts={}).object.dtype == np.int32
