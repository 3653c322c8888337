"""model.npz: all of a Trained in one file, written and read."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..config import Config
from ..datasets.log import Bag, Catalogue
from ..datasets.schema import Schema
from ..errors import DataError
from .files import whole
from .trained import Progress, Trained

FORMAT = "atrank_np model 4"


def save(path: str | Path, trained: Trained) -> None:
    """Writes one .npz of plain arrays (no pickle). It is written to a file beside and renamed: `path` is always whole."""
    about = {
        "format": FORMAT,
        "config": trained.config.to_dict(),
        "schema": trained.schema.to_dict(),
        "actions": list(trained.actions),
        "target_actions": trained.target_actions,
        "statistics": trained.statistics,
        "features": trained.features,
        "events": trained.events,
        "step": trained.step,
        "table_scale": trained.table_scale,
        "state": asdict(trained.state),
    }
    arrays: dict[str, Any] = {"about": np.array(json.dumps(about)), "users": trained.users}
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
    with whole(Path(path)) as file:
        np.savez(file, **arrays)


def load(path: str | Path) -> Trained:
    """The Trained of a model.npz, or of the run folder that holds one.

        trained = load("runs/shop-1")
        weights = trained.unscaled_parameters()["vanilla.W"]  # [K, D/K, D]

    The file is never executed: it holds arrays and JSON, no pickle. DataError if there is none, or it is not whole, or not a
    model of this program.
    """
    path = Path(path)
    path = path / "model.npz" if path.is_dir() else path

    def starting_with(kind: str) -> dict[str, Any]:
        return {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise KeyError("format")
        schema = Schema.from_dict(about["schema"], str(path))
        catalogues = {}
        for group in schema.groups:
            features: dict[str, Any] = {}
            for f in group.features:
                at = f"{group.name}/{f.name}"
                if f.kind == "tokens":
                    features[f.name] = Bag(arrays[f"bag/{at}"], arrays[f"bag offsets/{at}"])
                else:
                    features[f.name] = arrays[f"feature/{at}"]
            catalogues[group.name] = Catalogue(arrays[f"objects/{group.name}"], features)
        trained = Trained(
            config=Config(**about["config"]),
            schema=schema,
            actions=tuple(about["actions"]),
            tables=starting_with("table/"),
            catalogues=catalogues,
            target_actions=about["target_actions"],
            statistics=about["statistics"],
            features=about["features"],
            events=about["events"],
            users=arrays["users"],
            params=starting_with("param/"),
            step=about["step"],
            table_scale=about["table_scale"],
            state=Progress(**about["state"]),
        )
        if {name: w.shape for name, w in trained.params.items()} != trained.model().shapes():
            raise ValueError("shapes")
        return trained
    except FileNotFoundError:
        raise DataError(f"{path}: no such model; train one with python -m atrank_np.train --out FOLDER") from None
    except PermissionError:
        raise
    except Exception as error:  # one wrong byte of an archive can raise nearly any exception
        raise DataError(f"{path}: not a whole model of this program ({type(error).__name__}); train it again") from None
