"""What an estimator holds: its settings, the trained model, and a backend that scores for one thread at a time."""

import threading
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from .backend import Backend
from .config import PURPOSES, Config, defaults
from .datasets.log import Log
from .errors import ArgumentError, checked
from .runs import checkpoint
from .runs.growth import known
from .runs.trained import COLUMNS, Trained


class Holder:
    """The base of `estimators.Recommender`."""

    model: ClassVar[str] = ""  # its name in Config
    kinds: ClassVar[dict[str, type["Holder"]]] = {}  # model -> its class
    trained_: Trained

    def __init_subclass__(cls) -> None:
        cls.kinds.setdefault(cls.model, cls)

    def __init__(self, purpose: str = "ranking", **settings: Any) -> None:
        known = {field.name for field in fields(Config)} - {"model"}
        for name in settings.keys() - known:
            raise ArgumentError(f"{name}: no setting of that name; there are {', '.join(sorted(known))}")
        self.config: Config = checked(replace, checked(defaults, self.model, settings.get("variant", ""), purpose), **settings)
        self._lock = threading.Lock()  # a backend has one workspace
        self._backend: Backend | None = None
        self._numbered: tuple[Log, Log] | None = None  # the log of the last call, and this log as the model reads it

    def __repr__(self) -> str:
        """One line: the settings that are not defaults, the number of ranked objects, and the AUC of the last evaluation."""

        def settings(purpose: str) -> list[str]:
            own = defaults(self.model, self.config.variant, purpose).to_dict()
            mine = sorted(self.config.to_dict().items())
            words = [f"{purpose=}"] if purpose != "ranking" else []
            return words + [f"{name}={v!r}" for name, v in mine if v != own[name] or name == "variant" and v]

        shortest = min(map(settings, PURPOSES), key=len)
        return f"{type(self).__name__}({', '.join(shortest)}): {self._state()}"

    def _state(self) -> str:
        if not hasattr(self, "trained_"):
            return "not trained"
        objects = sum(len(self.trained_.catalogues[group].objects) - 1 for group in self.trained_.schema.targets)
        rows = [dict(zip(COLUMNS, row)) for row in self.trained_.state.rows]
        if not rows:
            return f"{objects:,} objects"
        row, what = rows[-1], "validation" if self.config.validate or self.config.patience else "test"
        if self.config.patience:  # the one that is kept
            row = max(rows, key=lambda row: row["test_auc"])
        return f"{objects:,} objects, {what} AUC {row['test_auc']:.3f} ± {row['test_auc_se']:.3f}"

    @property
    def history_(self) -> dict[str, list[float]]:
        """The evaluations of the training: column -> values, such as ``step``, ``epoch``, ``loss``, ``test_auc``, ``seconds``."""
        rows = self._fitted().state.rows
        return {name: [row[i] for row in rows] for i, name in enumerate(COLUMNS)}

    def save(self, path: str | Path) -> None:
        """Writes the model into one file, an .npz of plain arrays.

        >>> model.save("m.npz"), ATRank.load("m.npz")  # doctest: +SKIP
        """
        checkpoint.save(path, self._fitted())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The model of a file that `save` wrote, or of a run folder that the command train wrote.

        `Recommender.load` takes any model. DataError if the file is missing or damaged; ArgumentError for another model.
        """
        trained = checkpoint.load(path)
        of = cls.kinds[trained.config.model]
        if not issubclass(of, cls):
            raise ArgumentError(f"{path}: expected a model of the class {cls.__name__}, found {of.__name__}")
        return of()._take(trained)

    def _take(self, trained: Trained) -> Self:
        with self._lock:
            self.trained_, self.config, self._backend, self._numbered = trained, trained.config, None, None
        return self

    def _fitted(self) -> Trained:
        if not hasattr(self, "trained_"):
            raise ArgumentError(f"{type(self).__name__}: not trained yet; call fit or load first")
        return self.trained_

    def _made_backend(self) -> Backend:
        """The backend that scores; `_lock` must be held."""
        if self._backend is None:
            self._backend = self.trained_.backend()
        return self._backend

    def _known(self, log: Log) -> Log:
        """The log as the model reads it; that of the last call is kept."""
        given, numbered = self._numbered or (None, None)
        if numbered is None or given is not log:
            numbered = known(self._fitted(), checked_log(log))
            self._numbered = log, numbered
        return numbered


def checked_log(log: Log) -> Log:
    """The argument `log`. ArgumentError if it is not a Log."""
    if not isinstance(log, Log):
        raise ArgumentError(f"log: expected a Log, as read_log and Log.from_frame make it, got {type(log).__name__}")
    return log
