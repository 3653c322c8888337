"""A model with all that it needs to rank without the data folder."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats, Ints, Texts, texts
from ..backend import Backend, make_backend
from ..config import Config
from ..datasets.catalogue import Bag, Catalogue
from ..datasets.log import Log, user_of_event, with_events
from ..datasets.partition import own_partitions, partitions_of
from ..datasets.protocol import Protocol
from ..datasets.schema import Feature, Schema
from ..errors import DataError, checked
from ..models import Model, make_model, make_space
from ..models.common_space import FeatureColumn, GroupSpace
from ..mpi import ranks
from ..optimizer import Moments, unscaled
from ..parameters import Params

FARTHEST = 10.0  # standard deviations: a number that training has not seen must not outweigh all other features
COLUMNS = ("step", "samples", "epoch", "learning_rate", "loss", "test_auc", "test_auc_se", "seconds")  # of metrics.csv


@dataclass
class Progress:
    """What a resumed training needs beside parameters and step."""

    rows: list[list[float]] = field(default_factory=list)  # of metrics.csv, see COLUMNS
    loss_sum: float = 0.0  # over the targets since the last row
    targets: int = 0  # since the last row
    seconds: float = 0.0  # of training so far
    compile_seconds: float = 0.0


@dataclass(repr=False)
class Trained:
    """A model with all that it needs to rank without the data folder: vocabularies, features, statistics, parameters.

    tables among params are stored divided by table_scale (see optimizer).
    """

    config: Config
    schema: Schema
    actions: tuple[str, ...]
    tables: dict[str, Texts]  # table -> its vocabulary, as in Log
    catalogues: dict[str, Catalogue]  # group -> its objects
    target_actions: list[int]  # of each group of the schema
    statistics: dict[str, list[float]]  # "group.feature" -> [mean, deviation] of a number
    features: str  # digest of the objects' features
    events: str  # digest of the events that the model is trained on
    users: Texts  # the users that BPR-MF has rows for, after row 0, `unknown`; the other models know no user
    params: Params
    step: int = 0
    table_scale: float = 1.0
    moments: Moments = field(default_factory=dict)  # the rest of the optimiser's state, see optimizer.Rule
    state: Progress = field(default_factory=Progress)

    def model(self) -> Model:
        """The model that the parameters belong to."""
        groups = []
        for group, action in zip(self.schema.groups, self.target_actions):
            catalogue = self.catalogues[group.name]
            columns = tuple(FeatureColumn(f.name, f.kind, f.table, f.size, self._values(group.name, f)) for f in group.features)
            row, M = action * self.config.places, len(catalogue.objects)
            groups.append(GroupSpace(group.name, columns, group.width, group.buckets, row, M))
        rows = {name: len(names) for name, names in self.tables.items()}
        space = make_space(self.config, groups, self.config.width, len(self.actions), rows, self.config.item_bias)
        return make_model(self.config, space, len(self.users))

    def _values(self, group: str, feature: Feature) -> Bag | Ints | Floats:  # [M]
        """The values of a feature for all objects, as the model reads them.

        Codes and bags are as in the catalogue. Numbers are standardised and clipped at ±FARTHEST; a missing one is 0, the
        mean. All are 0 where the training events show no deviation.
        """
        values: Bag | Ints | Floats = self.catalogues[group].features[feature.name]
        if isinstance(values, Bag) or feature.kind != "number":
            return values
        mean, deviation = self.statistics[f"{group}.{feature.name}"]
        if deviation == 0:
            return np.zeros_like(values)
        return np.where(np.isnan(values), 0.0, np.clip((values - mean) / deviation, -FARTHEST, FARTHEST))

    def fits(self, log: Log) -> bool:
        """Whether a log is the one that this model was made for: the same schema, vocabularies, features and events."""
        return self.difference(log) is None

    def difference(self, log: Log) -> str | None:
        """The first difference between a log and the log of this model, in words; None if there is none."""
        if self.schema != log.schema:
            return "groups, features or how they are used"
        if self.actions != log.actions:
            return "actions"
        for group, catalogue in self.catalogues.items():
            if not np.array_equal(catalogue.objects, log.catalogues[group].objects):
                return f"objects of {group}"
        for table, names in self.tables.items():
            if table not in log.tables or not np.array_equal(names, log.tables[table]):
                return f"values of {table}"
        if self.features != digest_of_features(log):
            return "features of the objects"
        return None if self.events == digest_of_events(log, self.config) else "events"

    def backend(self, **settings: Any) -> Backend:
        """A backend with these parameters. settings: fields of Config that differ from those of the training.

        From now on parameters and step belong to the backend, which may write into these very arrays; `take_from` fetches
        them. DataError for settings that no run can have.
        """
        config: Config = checked(replace, self.config, **settings)
        return make_backend(self.model(), self.params, config, self.step, self.table_scale, self.moments)

    def take_from(self, backend: Backend) -> None:
        """Parameters and step as a backend has them now."""
        self.params, self.step, self.table_scale = backend.params, backend.step, backend.table_scale
        self.moments = backend.moments

    def unscaled_parameters(self) -> Params:
        """A copy of the parameters as they stand in the formulas: name -> array."""
        return unscaled(self.params, self.table_scale)


def assemble(protocol: Protocol) -> Trained:
    """An untrained model for a log. Its statistics and target actions are those of the protocol's training events.

    DataError for a variant that the schema does not suit, or numbers too large to standardise.
    """
    log, config = protocol.log, protocol.config
    statistics = {}
    for group, popularity in zip(protocol.schema.groups, protocol.popularity):
        for feature in group.features:
            if feature.kind == "number":
                values = log.catalogues[group.name].numbers(feature.name)
                name = f"{group.name}.{feature.name}"
                statistics[name] = _mean_and_deviation(name, values, popularity)
    trained = Trained(
        config=config,
        schema=protocol.schema,
        actions=log.actions,
        tables=log.tables,
        catalogues=log.catalogues,
        target_actions=protocol.target_actions,
        statistics=statistics,
        features=digest_of_features(log),
        events=digest_of_events(log, config),
        users=texts(["unknown", *(log.users.tolist() if config.model == "bpr_mf" else [])]),
        params={},
    )
    try:
        model = trained.model()
    except ValueError as fault:  # a variant that the schema does not suit
        raise DataError(str(fault)) from None
    trained.params = model.init(config.seed, config.dense_init, config.table_init, config.gain_init)
    if config.model == "bpr_mf":  # a user without training samples is 0, like the unknown one, not random
        for g, group in enumerate(protocol.schema.groups):
            seen = protocol.holders.stack(np.unique(protocol.train.user[protocol.train.group == g]))
            untrained = np.setdiff1d(np.arange(len(trained.users)), seen + 1)
            trained.params[f"table.user/{group.name}"][untrained] = 0
    return trained


def digest_of_events(log: Log, config: Config) -> str:
    """A hash of all events: a run that is resumed must have the same ones. With `config.partition`, of those of all ranks."""
    if not config.partition:
        return _digest((log.offsets, log.group, log.object, log.action, log.time))
    part = partitions_of(log.users.tolist(), config.parts)[user_of_event(log)]
    own = [with_events(log, part == number) for number in own_partitions(config.parts)]
    digests = [_digest((some.offsets, some.group, some.object, some.action, some.time)) for some in own]
    return hashlib.sha256("".join(chain.from_iterable(ranks().gather(digests))).encode()).hexdigest()


def digest_of_features(log: Log) -> str:
    """A hash of the features of all objects."""
    columns: list[NDArray[Any]] = []
    for catalogue in log.catalogues.values():
        for values in catalogue.features.values():
            columns += [values.ids, values.offsets] if isinstance(values, Bag) else [values]
    return _digest(columns)


def _digest(columns: Iterable[NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column).data)
    return found.hexdigest()


def _mean_and_deviation(name: str, values: Floats, weight: Ints) -> list[float]:  # [M], [M]
    """[mean, deviation] over the training events: weight says how many of them an object has.

    The deviation is 0 if all values are equal; both are 0 if there is none. DataError for a number above 1e150 in size.
    """
    known = ~np.isnan(values) & (weight > 0)
    if not known.any():
        return [0.0, 0.0]
    largest = abs(values[known]).max()
    if largest > 1e150:
        raise DataError(f"{name}: expected numbers whose squares can be added up, got one of size {largest}")
    if np.ptp(values[known]) == 0:  # exactly 0: the formula below would give the rounding of the mean
        return [float(values[known][0]), 0.0]
    mean = np.average(values[known], weights=weight[known])
    deviation = np.sqrt(np.average((values[known] - mean) ** 2, weights=weight[known]))
    return [float(mean), float(deviation)]
