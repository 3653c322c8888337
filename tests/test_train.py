"""The command train: which bits depend on what, and an example from end to end."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import (
    TIMES,
    outcome,
    report,
    run_train,
)

from atrank_np.config import Config
from atrank_np.datasets.log import user_of_event
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log

CINEMA = Path(__file__).parent.parent / "data" / "cinema"


def test_the_same_seed_gives_the_same_bits(trained_run, tiny, tmp_path, no_picture):
    again = run_train(tiny, tmp_path / "again")
    assert outcome(again) == outcome(trained_run)
    figures = [{name: value for name, value in report(out).items() if name not in TIMES} for out in (again, trained_run)]
    assert figures[0] == figures[1]


def test_another_seed_gives_other_bits(trained_run, tiny, tmp_path, no_picture):
    other = outcome(run_train(tiny, tmp_path / "other", "--seed", "1"))[0]
    same = {name for name, bits in outcome(trained_run)[0].items() if bits == other[name]}
    assert same == set()


def test_the_evaluation_seed_changes_only_the_test(trained_run, tiny, tmp_path, no_picture):
    other, base = outcome(run_train(tiny, tmp_path / "other", "--eval-seed", "3")), outcome(trained_run)
    assert other[0] == base[0]
    assert other[3] != base[3]


def test_validation_does_not_depend_on_the_test_events(tiny, tmp_path, no_picture):
    changed = shutil.copytree(tiny, tmp_path / "changed")
    header, *events = (changed / "events.csv").read_text().splitlines()
    last = {}
    for i, event in enumerate(events):
        user, group, _, _, when = event.split(",")
        if int(when) >= last.get((user, group), (0, 0))[0]:
            last[user, group] = int(when), i
    for (_, group), (_, i) in last.items():
        user, _, action, _, when = events[i].split(",")
        events[i] = f"{user},{group},{'click' if group == 'items' else action},{group[0]}5,{when}"
    (changed / "events.csv").write_text("\n".join([header, *events]) + "\n")
    # Every event of these groups may be a target, so that the last one of each is a test event.
    runs = []
    for data in (shutil.copytree(tiny, tmp_path / "tiny"), changed):
        schema = data / "schema.toml"
        schema.write_text(schema.read_text().replace('target_actions = ["click", "buy"]\n', ""))
        runs.append(outcome(run_train(data, tmp_path / f"run of {data.name}", "--validate")))
    assert runs[0] == runs[1]


def test_test_negatives_depend_on_the_evaluation_seed_alone(tiny):
    log = read_log(tiny)

    def drawn(config):
        return Protocol(log, config).task.candidates

    base = drawn(Config())
    same = Config(seed=5, negatives=3, fresh_negatives=False, batch_size=8, cap=3, width=8, loss="pair")
    np.testing.assert_array_equal(drawn(same), base)
    assert (drawn(Config(eval_seed=1)) != base).any()
    assert drawn(Config(eval_negatives=4)).shape == (len(base), 5)


@pytest.mark.parametrize("validate", [False, True])
def test_a_group_is_judged_on_the_same_whatever_else_is_ranked(tiny, validate):
    """One2one, all2one and all2all: the same moments, positives and negatives in the same order, so that they pair."""
    whole, config = read_log(tiny), Config(validate=validate, eval_negatives=2)

    def judged(group, history, targets):
        log = replace(whole, schema=whole.schema.choose(history, targets))
        task = Protocol(log, config).task
        mine = task.samples.group == whole.schema.index(group)
        columns = (task.samples.user[mine], task.samples.time[mine], task.samples.object[mine])
        return [*(column.tolist() for column in columns), task.candidates[mine].tolist()]

    groups = ["items", "queries"]
    for group in groups:
        alone = judged(group, [group], [group])
        assert len(alone[0]) > 5
        assert alone == judged(group, groups, [group]) == judged(group, groups, groups) == judged(group, groups, groups[::-1])


def test_the_cinema(tmp_path, no_picture):
    """The example with explicit negatives, bags of shared words, numbers, and days beside minutes, from end to end."""
    log = read_log(CINEMA)
    films, searches = log.schema.groups
    assert [(f.kind, f.table) for f in films.features][:2] == [("id", "films.object"), ("tokens", "words")]
    assert films.features[3].kind == "number" and (films.unit, searches.unit) == (86400, 60)
    parts = Protocol(log)
    was_shown = log.action == log.actions.index("show")
    shown = set(zip(user_of_event(log)[was_shown].tolist(), log.object[was_shown].tolist()))
    assert log.actions.index("show") not in parts.events.action and len(shown) > 80
    task = parts.task
    drawn = list(zip(task.samples.user.tolist(), task.candidates[:, 1].tolist()))
    assert task.uniform == {"films": 4} and sum(pair in shown for pair in drawn) >= 16
    flags = "--backend numpy --epochs 60 --l2 0 --dense-init 0.2 --width 32 --spaces 4"
    out = run_train(CINEMA, tmp_path / "run", *flags.split())
    assert report(out)["counted"]["training negatives among films from all objects, because too few were shown"] == 7
    assert "of films, first those that the user was shown and never took (4 are not, as" in report(out)["negatives"]
    losses = [float(row["loss"]) for row in csv.DictReader((out / "metrics.csv").open())]
    assert losses[-1] < 0.25 < 0.5 < losses[0]


def test_the_checkpoint_is_written_anew(tiny, tmp_path, no_picture, monkeypatch):
    """No checkpoint changes the run: one with many scorings ends with the same parameters."""
    often = outcome(run_train(tiny, tmp_path / "often", "--evaluations", "20"))
    seldom = outcome(run_train(tiny, tmp_path / "seldom", "--evaluations", "1"))
    assert (often[:3], len(often[3]), len(seldom[3])) == (seldom[:3], 20, 1)
