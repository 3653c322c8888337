"""A log in the numbering of a model: what the model knows keeps its rows, what is new gets the rows after them."""

from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Ints, Texts, texts
from ..config import Config
from ..datasets.catalogue import Bag, Catalogue
from ..datasets.log import Log, user_of_event, with_events
from ..datasets.protocol import Protocol
from ..datasets.schema import Group
from ..datasets.soundness import check_log
from ..errors import ArgumentError, DataError
from ..models.common_space import bags_of
from .trained import Trained, assemble

KEPT = ("model", "variant", "width", "spaces", "ranking", "item_bias", "places")  # settings that say which parameters there are


def joined(trained: Trained, log: Log) -> Log:
    """The log as the model numbers it: its vocabularies are the model's, followed by what is new in the log.

    An object of both has the features that it has in the log. BPR-MF has rows for users: its users come first, in its order,
    also those without events in the log. DataError for a log without the groups and features of the model.
    """
    check_log(log)
    schema, tables, codes = trained.schema, dict(trained.tables), dict[str, Ints]()
    if list(trained.catalogues) != list(log.catalogues):
        raise DataError(f"the log: expected the model's groups {', '.join(trained.catalogues)}, got {', '.join(log.catalogues)}")
    for mine, theirs in zip(schema.groups, log.schema.groups):
        known, given = ({(f.name, f.kind, f.table) for f in group.features} for group in (mine, theirs))
        if missing := sorted(known - given):
            name, kind, table = missing[0]
            raise DataError(f"the log: expected a feature {name!r} of {mine.name} ({kind}, table {table!r}), as the model has it")
        for table in {f.table for f in mine.features if f.kind != "number"} - codes.keys():
            tables[table], codes[table] = _appended(trained.tables[table], log.tables[table])
    catalogues, rows = {}, []
    for group in schema.groups:
        catalogues[group.name], row = _catalogue(group, trained.catalogues[group.name], log.catalogues[group.name], codes)
        rows.append(row)
    first = np.append(0, np.cumsum([len(row) for row in rows]))[log.group]
    object = np.concatenate(rows)[first + log.object]
    actions = tuple(dict.fromkeys((*trained.actions, *log.actions)))
    action = np.array([actions.index(name) for name in log.actions], log.action.dtype)[log.action]
    schema = replace(schema, actions=actions if schema.actions else ())
    log = replace(log, schema=schema, tables=tables, catalogues=catalogues, actions=actions, object=object, action=action)
    if trained.config.model != "bpr_mf":
        return log
    users, place = _appended(trained.users, texts(["unknown", *log.users.tolist()]))
    user = place[1 + user_of_event(log)] - 1
    order = np.argsort(user, kind="stable")
    offsets = np.append(0, np.cumsum(np.bincount(user, minlength=len(users) - 1)))
    return replace(
        log, users=users[1:], offsets=offsets, **{n: getattr(log, n)[order] for n in ("group", "object", "action", "time")}
    )


def _appended(known: Texts, names: Texts) -> tuple[Texts, Ints]:  # [V], [W] -> [V + new], [W]
    """A vocabulary followed by the names that it lacks, and the row of each name in it. In both, row 0 is `unknown`."""
    rows = {name: row for row, name in enumerate(known[1:].tolist(), 1)}
    code = np.array([0, *(rows.setdefault(name, len(rows) + 1) for name in names[1:].tolist())], np.int32)
    return (known if len(rows) < len(known) else texts(["unknown", *rows])), code


def _catalogue(group: Group, mine: Catalogue, theirs: Catalogue, codes: dict[str, Ints]) -> tuple[Catalogue, Ints]:  # -> ., [M]
    """The objects of both, and the new row of each object of `theirs`. codes: table -> the new row of each value of `theirs`."""
    objects, rows = _appended(mine.objects, theirs.objects)
    source = np.arange(len(objects))  # the place of each object in `mine` followed by `theirs`
    source[rows[1:]] = len(mine.objects) + np.arange(1, len(rows))
    features: dict[str, Any] = {}
    for f in group.features:
        values: Any = mine.features[f.name]
        other: Any = theirs.features[f.name]
        if f.kind == "tokens":
            ids = np.append(values.ids, codes[f.table][other.ids])
            both = Bag(ids, np.append(values.offsets, values.offsets[-1] + other.offsets[1:]))
            features[f.name] = Bag(*bags_of(both, source))
        else:
            features[f.name] = np.append(values, other if f.kind == "number" else codes[f.table][other])[source]
    return Catalogue(objects, features), rows


def known(trained: Trained, log: Log) -> Log:
    """The log as the model reads it: without what the model does not know, which is counted.

    An unknown object becomes row 0. Events with an unknown action are left out, and so are users that BPR-MF does not know.
    DataError for a log without the groups and features of the model.
    """
    log = joined(trained, log)
    counts = log.counts | {"events of an action that the model does not know": int((log.action >= len(trained.actions)).sum())}
    log, U = with_events(log, log.action < len(trained.actions)), len(trained.users) - 1
    if trained.config.model == "bpr_mf":
        counts["users that the model does not know"] = len(log.users) - U
        log = replace(with_events(log, user_of_event(log) < U), users=log.users[:U], offsets=log.offsets[: U + 1])
    size = np.array([len(catalogue.objects) for catalogue in trained.catalogues.values()])[log.group]
    object = np.where(log.object < size, log.object, 0)
    counts["events of an object that the model does not know"] = int((object == 0).sum())
    about = {name: getattr(trained, name) for name in ("schema", "actions", "tables", "catalogues")}
    return replace(log, object=object, counts=counts, **about)


def warm_start(trained: Trained, log: Log, config: Config) -> tuple[Trained, Log]:
    """A Trained at step 0 with the parameters of `trained`, and the log in its numbering: what `fit` resumes.

    What the model knows keeps its parameters and the standardisation of its numbers. New rows start as in a new model.
    ArgumentError for settings that would need other parameters.
    """
    for name in KEPT:
        old, new = getattr(trained.config, name), getattr(config, name)
        if old != new:
            raise ArgumentError(f"`{name}`: a warm start keeps the model's value, {old!r}; got {new!r}")
    log = joined(trained, log)
    grown = assemble(Protocol(log, config))
    grown.statistics, grown.target_actions = trained.statistics, trained.target_actions
    for name, w in trained.unscaled_parameters().items():
        grown.params[name][: len(w)] = w
    return grown, log
