"""Scores a trained run on its test events: `python -m atrank_np.evaluate RUN`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from . import cli
from .assembly import load
from .backend import make_backend
from .datasets.folder import find_data
from .datasets.negatives import Negatives
from .datasets.packing import bucketize, pack
from .datasets.protocol import split
from .datasets.reading import read_log
from .datasets.samples import Samples
from .datasets.schema import Schema
from .datasets.shop_ceiling import ceiling, load_world
from .errors import DataError
from .metrics import rank_metrics, standard_error, user_auc
from .randomness import stream

HISTORIES = 256  # per scoring batch: enough to fill the matrix products, small enough to stay in memory


class Task(NamedTuple):
    """What is scored: the test samples [S] with their candidates [S, 1+R], the positive first."""

    samples: Samples
    candidates: np.ndarray
    uniform: dict = {}  # group that has negative_actions -> how many of its negatives are uniform, for want of shown ones


def test_task(log, test, config):
    """The test samples with negatives that depend on the data set and eval_seed alone, never on model or seed.

    Each group has a random stream of its own, so that its negatives are the same whatever else is ranked.
    """
    negatives = Negatives(log, config.validate)
    candidates = np.repeat(test.object[:, None], 1 + config.eval_negatives, axis=1)
    for g in np.unique(test.group):
        rows = np.flatnonzero(test.group == g)
        rng = stream(config.eval_seed, "evaluation negatives", g)
        candidates[rows, 1:] = negatives.draw(rng, test.take(rows), config.eval_negatives)
    return Task(test, candidates, negatives.uniform(test, config.eval_negatives))


def score(backend, schema, events, task):
    """Logits [S, 1+R] of a task's candidates."""
    scores = np.empty(task.candidates.shape)
    for start in range(0, len(scores), HISTORIES):
        here = slice(start, start + HISTORIES)
        batch = pack(schema, events, task.samples.take(here), task.candidates[here])
        scores[here] = backend.scores(batch).reshape(scores[here].shape)
    return scores


def auc(scores, user=None):
    """user_auc of [S, 1+R] scores with the positive first. user [S]: whose rankings they are, if one may have several."""
    S, R = scores.shape
    label = np.zeros((S, R))
    label[:, 0] = 1
    found = user_auc(scores.reshape(-1), label.reshape(-1), np.arange(S + 1) * R)
    return found if user is None else found._replace(se=standard_error(found.each, user))


def swapped(samples):
    """Each ranking with the history (and name) of the next one of its group, so of another user; elapsed times are the
    history's own. Where a group has but one ranking it keeps its history.
    """
    other = np.arange(len(samples.user))
    for g in np.unique(samples.group):
        places = np.flatnonzero(samples.group == g)
        other[places] = np.roll(places, -1)
    return samples._replace(**{name: getattr(samples, name)[other] for name in ("user", "start", "end", "time")})


def in_history(events, task):
    """1 where a candidate stands in the history, else 0: [S, 1+R]."""
    found = np.zeros(task.candidates.shape)
    for s in range(len(found)):
        history = slice(task.samples.start[s], task.samples.end[s])
        same_group = events.group[history] == task.samples.group[s]
        found[s] = np.isin(task.candidates[s], events.object[history][same_group])
    return found


def features_shared(log, events, task):
    """The share of the history that a candidate's categorical features are shared with, their mean: [S, 1+R].

    Of behaviours with objects of its own group; 0 where there are none, or no such feature.
    """
    shared = np.zeros(task.candidates.shape)
    for s, g in enumerate(task.samples.group):
        group = log.schema.groups[g]
        codes = [log.catalogues[group.name].features[f.name] for f in group.features if f.kind == "categorical"]
        history = slice(task.samples.start[s], task.samples.end[s])
        objects = events.object[history][events.group[history] == g]
        if codes and len(objects):
            shared[s] = np.mean([(code[objects][:, None] == code[task.candidates[s]]).mean(0) for code in codes], axis=0)
    return shared


def test_report(backend, log, split, task, scores, world=None):
    """The test figures of a model and the controls that belong beside them, as a dict of report.json's names.

    scores: what `score` gives for the task, [S, 1+R].
    """
    whole = auc(scores, task.samples.user)
    groups = task.samples.group
    best = None if world is None else ceiling(world, log, task.samples.user, task.samples.time, groups, task.candidates)
    by_group = {}
    for g in np.unique(groups):
        own = auc(scores[groups == g])
        by_group[log.schema.groups[g].name] = {
            "auc": own.mean,
            "se": known(own.se),
            "users": len(own.each),
            "ceiling": None if best is None else auc(best[groups == g]).mean,
        }
    popularity = np.empty(task.candidates.shape)
    for g in np.unique(groups):
        popularity[groups == g] = split.popularity[g][task.candidates[groups == g]]
    return {
        "test_auc": whole.mean,
        "test_auc_se": known(whole.se),
        "test_auc_by_group": by_group,
        "test_users": int(len(np.unique(task.samples.user))),
        "test_rankings": len(groups),
        "negatives": _negatives_in_words(task),
        "tie_rule": "a tie counts 1/2",
        "popularity_auc": auc(popularity).mean,
        "swapped_history_auc": auc(score(backend, log.schema, split.events, task._replace(samples=swapped(task.samples)))).mean,
        "in_history_auc": auc(in_history(split.events, task)).mean,
        # Where two candidates share as much, the more popular one: shares differ by more than a millionth.
        "features_shared_auc": auc(features_shared(log, split.events, task) + 1e-6 * popularity / (1 + popularity.max())).mean,
        "ceiling_auc": None if best is None else auc(best).mean,
    }


def _negatives_in_words(task):
    each = f"{task.candidates.shape[1] - 1} per positive"
    shown = "".join(f"what he was shown of {name} and never took, for want of it ({n}) " for name, n in task.uniform.items())
    return f"{each}, {shown}uniform over objects that the user never touches"


def known(number):
    """None for NaN, the standard error of a single ranking: JSON has no NaN."""
    return None if np.isnan(number) else number


def describe(report, validate):
    """The test figures in words: a list of lines."""
    number = lambda value: "-" if value is None else f"{value:.4f}"
    lines = [
        f"{'validation' if validate else 'test'} AUC {number(report['test_auc'])} ± {number(report['test_auc_se'])} "
        f"(1 s.e., {report['test_rankings']} positives of {report['test_users']} users, negatives: {report['negatives']}; "
        f"{report['tie_rule']})"
    ]
    if len(report["test_auc_by_group"]) > 1:
        for name, own in report["test_auc_by_group"].items():
            best = "" if own["ceiling"] is None else f", ceiling {number(own['ceiling'])}"
            lines.append(f"  {name}: {number(own['auc'])} ± {number(own['se'])} ({own['users']} users{best})")
    controls = {"popularity alone": "popularity_auc", "histories swapped": "swapped_history_auc",
                "is it in the history": "in_history_auc", "features shared with it": "features_shared_auc",
                "ceiling": "ceiling_auc"}  # fmt: skip
    return [*lines, "controls", "  " + "    ".join(f"{what} {number(report[name])}" for what, name in controls.items())]


def full_ranks(backend, schema, split, samples, show=False):
    """The place of each positive among all objects of its group that `recommend` would show: [S], 0 is the first.

    Those of the user's history are left out, unless the schema keeps repeated targets. Ties count half, as in the AUC: with a
    constant score a positive is in the middle.
    """
    events = split.events
    rank = np.empty(len(samples.user))
    for s in tqdm(range(len(rank)), unit=" users", disable=None if show else True, dynamic_ncols=True):
        one = samples.take(slice(s, s + 1))
        scores = catalogue_scores(backend, schema, events, one)
        history = slice(split.offsets[one.user[0]], one.end[0])  # whole, even where the model's is cut
        same_group = events.group[history] == one.group[0]
        mine = scores[one.object[0]]
        if schema.target_repeats == "drop":
            scores[events.object[history][same_group]] = -np.inf
        scores[[0, one.object[0]]] = -np.inf
        rank[s] = (scores > mine).sum() + 0.5 * (scores == mine).sum()
    return rank


def catalogue_scores(backend, schema, events, sample):
    """Logits [M] of every object of the target group for one sample; row 0, `unknown`, too."""
    batch = pack(schema, events, sample, np.zeros((1, 0), np.int32))
    return backend.catalogue_scores(batch, int(sample.group[0])).astype(np.float64)


def by_length(length):
    """Histories of 0, 1, 2-3, 4-7, … behaviours: yields (label, the places in `length` [S] where they stand)."""
    bucket = bucketize(length, 1, 64)
    for b in np.unique(bucket):
        low, high = (0, 0) if b == 0 else (2 ** (b - 1), 2**b - 1)
        yield str(low) if low == high else f"{low}-{high}", np.flatnonzero(bucket == b)


def auc_by_length(scores, samples):
    """A list of (label, rankings, AUC, standard error)."""
    rows = []
    for label, places in by_length(samples.end - samples.start):
        own = auc(scores[places], samples.user[places])
        rows.append((label, len(places), own.mean, known(own.se)))
    return rows


def parser():
    p = cli.Parser(
        prog="python -m atrank_np.evaluate",
        description="Score a trained run on its test events again, with its controls.",
    )
    p.add_argument("run", metavar="RUN", help="the folder that train wrote")
    p.add_argument("--data", metavar="DIR", help="the data folder, if it has moved since")
    p.add_argument(
        "--full",
        action="store_true",
        help="rank the whole catalogue for every test user: HR@10, NDCG@10; and the AUC by length of the history",
    )
    p.add_argument("--users", type=int, metavar="N", help="with --full: the first N test users only")
    p.add_argument("--backend", choices=("numpy", "numba"), help="how to compute (default: as the run did)")
    p.add_argument("--json", action="store_true", help="print the figures as JSON")
    return p


def main(arguments):
    options = parser().parse_args(arguments)
    if options.users is not None and options.users < 1:
        raise DataError(f"--users: expected at least 1, got {options.users}")
    if options.users is not None and not options.full:
        raise DataError("--users: says how many are ranked with --full; expected that too")
    trained, log, world = open_run(options.run, options.data)
    try:
        config = replace(trained.config, backend=options.backend or trained.config.backend)
    except ValueError as fault:  # a variant, which numba does not know
        raise DataError(str(fault)) from None
    parts = split(log, config.cap, config.validate)
    backend = make_backend(trained.model(), trained.params, config, trained.step, trained.table_scale)
    task = test_task(log, parts.test, config)
    scores = score(backend, log.schema, parts.events, task)
    report = test_report(backend, log, parts, task, scores, world)
    lines = describe(report, config.validate)
    if options.full:
        rows = auc_by_length(scores, parts.test)
        report["auc_by_length"] = [dict(zip(("length", "rankings", "auc", "se"), row)) for row in rows]
        lines.append("AUC by behaviours in the history")
        lines += [f"  {label:>7} {value:.4f} ± {'-' if se is None else f'{se:.4f}'} ({n})" for label, n, value, se in rows]
        users = np.unique(parts.test.user)[: options.users]
        some = parts.test.take(np.isin(parts.test.user, users))
        report |= rank_metrics(full_ranks(backend, log.schema, parts, some, show=not options.json))
        report["ranked_users"] = len(users)
        lines.append(
            f"whole catalogue, {len(some.user)} positives of {len(users)} users: HR@10 {report['hr@10']:.4f}, "
            f"NDCG@10 {report['ndcg@10']:.4f}"
        )
    print(json.dumps(report, indent=2) if options.json else "\n".join(lines))
    return 0


def open_run(run, data=None):
    """-> Trained, the Log it was trained on, its simulator or None. DataError if they do not belong together."""
    trained = load(run)
    path = Path(run) / "config.json"
    try:
        options = json.loads(path.read_text())["data"]
        options = {name: options[name] for name in ("data", "features", "history", "target", "embedding_size")}
        folder, *lists, size = options.values()
        if not (isinstance(folder, str) and all(isinstance(v, list | None) for v in lists) and isinstance(size, int | None)):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{path}: expected the run's settings, as train writes them") from None
    if data is not None:
        options["data"] = data
    log, world = read_data(options)
    if not trained.fits(log):
        raise DataError(f"{options['data']}: not the data that {run} was trained on")
    return trained, log, world


def read_data(options):
    """The log of a dict with data, features, history, target and embedding_size; and its simulator or None."""
    folder = find_data(options["data"])
    log = read_log(folder, options["features"])
    log.schema = read_schema(options)
    return log, load_world(folder, log)


def read_schema(options):
    """The schema of that log alone."""
    schema = Schema.load(find_data(options["data"]))
    if options["features"] is not None:
        schema = schema.select_features(options["features"])
    return schema.choose(options["history"], options["target"], options["embedding_size"])


if __name__ == "__main__":
    cli.run(main)
