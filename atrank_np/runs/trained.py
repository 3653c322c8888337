"""A model with all that it needs to rank without the data folder."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from ..backend import Backend, make_backend
from ..config import Config
from ..datasets.log import Bag
from ..datasets.protocol import Protocol
from ..datasets.schema import Schema
from ..errors import DataError, checked
from ..models import make_model, make_space
from ..models.common_space import FeatureColumn, GroupSpace
from ..optimizer import unscaled

FARTHEST = 10.0  # standard deviations: one object that training has not seen must not drown all others


@dataclass
class Trained:
    """A model with all that it needs to rank without the data folder: vocabularies, features, statistics, parameters.

    params are stored divided by table_scale (see optimizer); state is what a resumed training needs.
    """

    config: Config
    schema: Schema
    actions: tuple
    tables: dict
    catalogues: dict
    target_actions: list
    statistics: dict  # "group.feature" -> [mean, deviation] of a number
    features: str  # digest of the objects' features
    events: str  # digest of the events it is trained on
    users: int  # rows of a table of users: those of the log, and the unknown one
    params: dict
    step: int = 0
    table_scale: float = 1.0
    state: dict = None

    def model(self):
        """The model that the parameters belong to."""
        groups = []
        for group, target_action in zip(self.schema.groups, self.target_actions):
            catalogue = self.catalogues[group.name]
            columns = tuple(FeatureColumn(f.name, f.kind, f.table, f.size, self._values(group.name, f)) for f in group.features)
            groups.append(GroupSpace(group.name, columns, group.width, group.buckets, target_action, len(catalogue.objects)))
        rows = {name: len(names) for name, names in self.tables.items()}
        space = make_space(self.config, groups, self.config.width, len(self.actions), rows, self.config.item_bias)
        return make_model(self.config, space, self.users)

    def _values(self, group, feature):
        """Codes and bags as they are; numbers standardised, a missing one at the mean, none further from it than FARTHEST.

        Where training shows no deviation, nothing can be learned of the number: it is 0 for all.
        """
        values = self.catalogues[group].features[feature.name]
        if feature.kind != "number":
            return values
        mean, deviation = self.statistics[f"{group}.{feature.name}"]
        if deviation == 0:
            return np.zeros_like(values)
        return np.where(np.isnan(values), 0.0, np.clip((values - mean) / deviation, -FARTHEST, FARTHEST))

    def fits(self, log):
        """Whether a log is the one that this model was made for: the same vocabularies, features and events."""
        return (
            self.reads(log)
            and self.schema == log.schema
            and all(np.array_equal(names, log.tables.get(table)) for table, names in self.tables.items())
            and (self.features, self.events) == (digest_of_features(log), digest_of_events(log))
        )

    def reads(self, log):
        """Whether a log gives groups, objects and actions the same numbers, whatever its events are."""
        return (
            list(self.catalogues) == list(log.catalogues)
            and self.actions == log.actions
            and all(np.array_equal(c.objects, log.catalogues[g].objects) for g, c in self.catalogues.items())
        )

    def backend(self, **settings) -> Backend:
        """A backend with these parameters. settings: fields of Config that shall be otherwise than in training.

        From now on parameters and step are the backend's, which may write into these very arrays; `take_from` fetches them.
        """
        config = checked(replace, self.config, **settings)
        return make_backend(self.model(), self.params, config, self.step, self.table_scale)

    def take_from(self, backend: Backend) -> None:
        """Parameters and step as a backend has them now."""
        self.params, self.step, self.table_scale = backend.params, backend.step, backend.table_scale

    def unscaled_parameters(self) -> dict[str, np.ndarray]:
        """The parameters as the formulas mean them: name -> array."""
        return unscaled(self.params, self.table_scale)


def assemble(protocol: Protocol) -> Trained:
    """A fresh model for a log; the protocol says what training may know of it."""
    log, config = protocol.log, protocol.config
    statistics = {}
    for group, popularity in zip(protocol.schema.groups, protocol.popularity):
        for feature in group.features:
            if feature.kind == "number":
                values = log.catalogues[group.name].features[feature.name]
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
        events=digest_of_events(log),
        users=len(log.users) + 1,
        params={},
    )
    try:
        model = trained.model()
    except ValueError as fault:  # a variant that the schema does not suit
        raise DataError(str(fault)) from None
    trained.params = model.init(config.seed, config.dense_init, config.table_init, config.gain_init)
    if config.model == "bpr_mf":  # who is not in training stays unknown, not random
        for g, group in enumerate(protocol.schema.groups):
            strangers = np.setdiff1d(np.arange(trained.users), protocol.train.user[protocol.train.group == g] + 1)
            trained.params[f"table.user/{group.name}"][strangers] = 0
    return trained


def digest_of_events(log):
    """A hash of all events: a run that goes on with others would not end as it should."""
    return _digest((log.offsets, log.group, log.object, log.action, log.time))


def digest_of_features(log):
    """A hash of the features of all objects."""
    features = [values for catalogue in log.catalogues.values() for values in catalogue.features.values()]
    return _digest(column for f in features for column in ((f.ids, f.offsets) if isinstance(f, Bag) else (f,)))


def _digest(columns):
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column))
    return found.hexdigest()


def _mean_and_deviation(name, values, weight):
    """Over the training events: an object counts as often as it was acted on. The deviation is 0 if no two of them differ."""
    known = ~np.isnan(values) & (weight > 0)
    if not known.any():
        return [0.0, 0.0]
    if (largest := abs(values[known]).max()) > 1e150:
        raise DataError(f"{name}: expected numbers whose squares can be added up, got one of size {largest}")
    if np.ptp(values[known]) == 0:  # exactly; the rounding of a mean would be taken for a deviation
        return [float(values[known][0]), 0.0]
    mean = np.average(values[known], weights=weight[known])
    deviation = np.sqrt(np.average((values[known] - mean) ** 2, weights=weight[known]))
    return [float(mean), float(deviation)]
