"""model.npz: writes and reads all of a Trained in one file."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import arguments
from ..arrays import Ints, Texts, texts
from ..config import Config
from ..datasets.catalogue import Bag, Catalogue
from ..datasets.schema import Schema
from ..datasets.soundness import check_array, check_catalogue, check_codes, check_names
from ..errors import ArgumentError, DataError
from ..optimizer import RULES
from .files import whole
from .trained import COLUMNS, Progress, Trained

PLAIN = ("target_actions", "statistics", "features", "events", "step", "table_scale")  # fields of Trained that JSON can hold
FORMAT = "atrank_np model 4"  # 4: the variant "" has a residual connection in (6); names are JSON


class OtherVersion(Exception):
    """A model of another FORMAT."""


def save(path: str | Path, trained: Trained) -> None:
    """Writes one .npz of plain arrays (no pickle). Another file is written and then renamed, so `path` is always complete."""
    about = {
        "format": FORMAT,
        "config": trained.config.to_dict(),
        "schema": trained.schema.to_dict(),
        "actions": list(trained.actions),
        **{name: getattr(trained, name) for name in PLAIN},
        "state": asdict(trained.state),
    }
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), "users": _as_bytes(trained.users)}
    arrays |= {f"param/{name}": w for name, w in trained.params.items()}
    for moment, moments in trained.moments.items():
        arrays |= {f"{moment}/{name}": m for name, m in moments.items()}
    arrays |= {f"table/{name}": _as_bytes(names) for name, names in trained.tables.items()}
    for group, catalogue in trained.catalogues.items():
        arrays[f"objects/{group}"] = _as_bytes(catalogue.objects)
        for name, values in catalogue.features.items():
            if isinstance(values, Bag):
                arrays[f"bag/{group}/{name}"] = values.ids
                arrays[f"bag offsets/{group}/{name}"] = values.offsets
            else:
                arrays[f"feature/{group}/{name}"] = values
    with whole(arguments.path("path", path)) as file:
        np.savez(file, **arrays)


def load(path: str | Path) -> Trained:
    """The Trained of a model.npz, or of the run folder that holds one.

        trained = load("runs/shop-1")
        weights = trained.unscaled_parameters()["vanilla.W"]  # [K, D/K, D]

    The file is never executed: it holds arrays and JSON, no pickle. DataError if it is missing, damaged, or not a model of this
    program.
    """
    path = arguments.path("path", path)
    path = path / "model.npz" if path.is_dir() else path
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: expected a file, or a run folder that holds a model.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if any(entry.compress_type for entry in arrays.zip.infolist()):  # it could unpack to any size
                raise ArgumentError("its arrays are compressed")
            about = json.loads(str(arrays["about"]))
            if about["format"] != FORMAT:
                raise OtherVersion(f"written by another version of this program ({about['format']}, not {FORMAT})")
            trained = _trained(about, arrays)
        _check(trained)
        return trained
    except FileNotFoundError:
        raise DataError(f"{path}: no such model; train one with python -m atrank_np.train --out FOLDER") from None
    except OtherVersion as error:
        raise DataError(f"{path}: {error}; train it again") from None
    except PermissionError:
        raise
    except Exception as error:  # one wrong byte of an archive can raise nearly any exception
        why = str(error) if isinstance(error, DataError) else type(error).__name__
        raise DataError(f"{path}: not a whole model of this program ({why}); train it again") from None


def _as_bytes(names: Texts) -> Ints:  # uint8
    """Names as an array that an .npz can hold without pickle: a JSON list."""
    return np.frombuffer(json.dumps(names.tolist(), ensure_ascii=False).encode(), np.uint8)


def _as_names(array: Ints) -> Texts:
    """The inverse of `_as_bytes`."""
    return texts(json.loads(array.tobytes()))


def _trained(about: dict[str, Any], arrays: Mapping[str, Any]) -> Trained:
    """The Trained of an archive. Only the arrays of this format are read."""
    schema, catalogues = Schema.from_dict(about["schema"]), {}
    for group in schema.groups:
        features: dict[str, Any] = {}
        for f in group.features:
            at = f"{group.name}/{f.name}"
            if f.kind == "tokens":
                features[f.name] = Bag(arrays[f"bag/{at}"], arrays[f"bag offsets/{at}"])
            else:
                features[f.name] = arrays[f"feature/{at}"]
        catalogues[group.name] = Catalogue(_as_names(arrays[f"objects/{group.name}"]), features)

    def starting_with(kind: str) -> dict[str, Any]:
        return {name.removeprefix(kind): arrays[name] for name in arrays if name.startswith(kind)}

    config = Config(**about["config"])
    rule = RULES[config.optimizer]
    return Trained(
        config=config,
        schema=schema,
        actions=tuple(about["actions"]),
        tables={name: _as_names(array) for name, array in starting_with("table/").items()},
        catalogues=catalogues,
        users=_as_names(arrays["users"]),
        params=starting_with("param/"),
        moments={moment: starting_with(f"{moment}/") for moment in rule.moments} if rule else {},
        state=Progress(**about["state"]),
        **{name: about[name] for name in PLAIN},
    )


def _check(trained: Trained) -> None:
    """ArgumentError for contents that no training writes: with wrong numbers, kernels would read outside of arrays."""
    for name, names in (("users", trained.users), *trained.tables.items()):
        check_names(name, names)
    for group in trained.schema.groups:
        check_catalogue(group, trained.catalogues[group.name], {name: len(names) for name, names in trained.tables.items()})
    check_codes("target_actions", np.array(trained.target_actions), len(trained.actions), len(trained.schema.groups))
    numbers = [trained.table_scale, trained.state.loss_sum, trained.state.seconds, trained.state.compile_seconds]
    for g, f in ((group.name, f.name) for group in trained.schema.groups for f in group.features if f.kind == "number"):
        mean, deviation = trained.statistics[f"{g}.{f}"]
        numbers += [mean, deviation]
    if not np.isfinite(np.array(numbers, float)).all() or not trained.table_scale > 0:
        raise ArgumentError("expected finite numbers, and a scale of the tables above 0")
    if not all(type(n) is int and n >= 0 for n in (trained.step, trained.state.targets)):
        raise ArgumentError("step, targets: expected whole numbers")
    np.array(trained.state.rows, float).reshape(-1, len(COLUMNS))
    words = (*trained.actions, trained.features, trained.events)
    if not all(isinstance(word, str) for word in words) or len(set(trained.actions)) < len(trained.actions):
        raise ArgumentError("actions: expected different names")
    shapes = trained.model().shapes()
    for arrays in (trained.params, *trained.moments.values()):
        if arrays.keys() != shapes.keys():
            raise ArgumentError("expected the parameters of its settings, and no others")
        for name, shape in shapes.items():
            check_array(name, arrays[name], np.dtype(np.float32), shape)
            if not np.isfinite(arrays[name]).all():
                raise ArgumentError(f"{name}: expected finite numbers")
