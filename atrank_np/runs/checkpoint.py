"""model.npz: all of a Trained in one file, written and read."""

import json
import os
from pathlib import Path

import numpy as np

from ..config import Config
from ..datasets.log import Bag, Catalogue
from ..datasets.schema import Schema
from ..errors import DataError
from .trained import Trained

FORMAT = "atrank_np model 3"


def save(path, trained):
    """One .npz of plain arrays (no pickle). Written beside and moved into place, so `path` is never half a file."""
    about = {
        "format": FORMAT,
        "config": trained.config.to_dict(),
        "schema": trained.schema.to_dict(),
        "actions": list(trained.actions),
        "target_actions": trained.target_actions,
        "statistics": trained.statistics,
        "features": trained.features,
        "events": trained.events,
        "users": trained.users,
        "step": trained.step,
        "table_scale": trained.table_scale,
        "state": trained.state,
    }
    arrays = {"about": np.array(json.dumps(about))}
    arrays |= {f"param/{name}": w for name, w in trained.params.items()}
    arrays |= {f"table/{name}": names for name, names in trained.tables.items()}
    for group, catalogue in trained.catalogues.items():
        arrays[f"objects/{group}"] = catalogue.objects
        for name, values in catalogue.features.items():
            if isinstance(values, Bag):
                arrays[f"bag/{group}/{name}"] = values.ids
                arrays[f"bag offsets/{group}/{name}"] = values.offsets
            else:
                arrays[f"feature/{group}/{name}"] = values
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load(path):
    """The Trained of a model.npz, or of the run folder that holds one. DataError for a file that is not one, or not whole."""
    path = Path(path)
    path = path / "model.npz" if path.is_dir() else path
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise KeyError("format")
        schema = Schema.from_dict(about["schema"], str(path))
        catalogues = {}
        for group in schema.groups:
            features = {}
            for f in group.features:
                at = f"{group.name}/{f.name}"
                if f.kind == "tokens":
                    features[f.name] = Bag(arrays[f"bag/{at}"], arrays[f"bag offsets/{at}"])
                else:
                    features[f.name] = arrays[f"feature/{at}"]
            catalogues[group.name] = Catalogue(arrays[f"objects/{group.name}"], features)
        pick = lambda kind: {n[len(kind) :]: a for n, a in arrays.items() if n.startswith(kind)}
        trained = Trained(
            config=Config(**about["config"]),
            schema=schema,
            actions=tuple(about["actions"]),
            tables=pick("table/"),
            catalogues=catalogues,
            target_actions=about["target_actions"],
            statistics=about["statistics"],
            features=about["features"],
            events=about["events"],
            users=about["users"],
            params=pick("param/"),
            step=about["step"],
            table_scale=about["table_scale"],
            state=about["state"],
        )
        if {name: w.shape for name, w in trained.params.items()} != trained.model().shapes():
            raise ValueError("shapes")
        return trained
    except FileNotFoundError:
        raise DataError(f"{path}: no such model; train one with python -m atrank_np.train --out FOLDER") from None
    except PermissionError:
        raise
    except Exception as error:  # one wrong byte of an archive can end in nearly any of them
        raise DataError(f"{path}: not a whole model of this program ({type(error).__name__})") from None
