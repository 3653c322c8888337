"""One ranking from inside: attention, effects, gradients, the nearest objects; and Table 4."""

from dataclasses import replace

import numpy as np
import pytest
from small_models import DAYS, a_model_as_it_starts, longest

from atrank_np.datasets.packing import pack
from atrank_np.datasets.samples import Events, Samples
from atrank_np.evaluation import attention
from atrank_np.evaluation.plots import DAY
from atrank_np.evaluation.ranking import first_choices, objects_of
from atrank_np.parameters import kind


def test_weights_are_those_of_the_history(opened):
    trained, log = opened
    inside = attention.look_inside(trained, log, longest(log))
    n, K = len(inside.behaviours), trained.config.spaces
    assert n > 2 and inside.self_attention.shape == (K, n, n) and inside.vanilla_attention.shape == (K, n)
    np.testing.assert_allclose(inside.self_attention.sum(2), 1, rtol=1e-5)
    np.testing.assert_allclose(inside.vanilla_attention.sum(1), 1, rtol=1e-5)
    assert (inside.elapsed > 0).all() and (np.diff(inside.elapsed) <= 0).all()


def test_the_time_of_ranking_hides_what_is_later(opened):
    trained, log = opened
    whole = attention.look_inside(trained, log, longest(log))
    events = log.time[log.offsets[np.diff(log.offsets).argmax()] :]
    early = attention.look_inside(trained, log, longest(log), target=whole.target, at=int(events[2]))
    assert len(early.behaviours) < len(whole.behaviours)
    assert early.behaviours == whole.behaviours[: len(early.behaviours)]


def test_table_4_uniform_shares_add_up(opened):
    """Each ranking shares out one unit of attention, and one of uniform shares."""
    rows = attention.attention_by_elapsed(*opened)
    count, mean, uniform = (np.array(column) for column in list(zip(*rows))[2:])
    assert count.sum() > 0
    np.testing.assert_allclose((count * mean).sum(), (count * uniform).sum(), rtol=1e-5)


def test_a_tick_may_be_a_minute(opened):
    """Then what was two minutes ago by the log stands where two hours do."""
    rows, longer = (attention.attention_by_elapsed(*opened, tick=tick) for tick in (1, 3600))
    assert sum(row[2] for row in rows) == sum(row[2] for row in longer)

    def mean(table):
        return sum(first * count for first, _, count, *_ in table)

    assert mean(longer) > mean(rows)


def test_table_4_by_hand(in_days):
    """Ages in days: 1; 2 and 1; 10, 9 and 8. Two days are of the second row."""
    rows = attention.attention_by_elapsed(*in_days)
    assert [row[:3] for row in rows[:5]] == [(0, 2, 2), (2, 4, 1), (4, 8, 0), (8, 16, 3), (16, 32, 0)]
    assert [row[4] for row in rows[:4]] == pytest.approx([(1 + 1 / 2) / 2, 1 / 2, 0, 1 / 3])
    of_a, of_b = attention.look_inside(*in_days, "u", target="c", at=2 * DAY).vanilla_attention.T
    assert [row[3] for row in rows[:4]] == pytest.approx([(1 + of_b.mean()) / 2, of_a.mean(), 0, 1 / 3], rel=1e-5)
    assert abs(of_a[0] - of_a[1]) > 1e-3  # the spaces differ, so that a mean is not one of them


def test_what_is_drawn_is_what_the_model_sees(in_days, monkeypatch):
    """The last behaviours up to the cap, and the first choice at that time."""
    trained, log = in_days
    capped = replace(trained, config=replace(trained.config, cap=2))
    assert attention.look_inside(capped, log, "u", target="g").behaviours == ["c", "d"]
    asked = []
    monkeypatch.setattr(attention, "first_choices", lambda *asked_of: asked.append(asked_of[-1]) or ["g"])
    assert attention.look_inside(trained, log, "u", at=5 * DAY).target == "g" and asked == [5 * DAY]


def rescaled(trained):
    """The same model: tables twice as large, stored divided by half the scale."""
    params = {name: w * (2 if kind(name) == "table" else 1) for name, w in trained.params.items()}
    return replace(trained, params=params, table_scale=trained.table_scale / 2)


def test_the_stored_scale_does_not_matter(opened, in_days):
    trained, log = opened
    one, same = (attention.look_inside(t, log, longest(log)) for t in (trained, rescaled(trained)))
    assert (same.target, same.score) == (one.target, pytest.approx(one.score, rel=1e-5))
    one, same = (attention.left_out(t, attention.look_inside(t, log, longest(log)).batch) for t in (trained, rescaled(trained)))
    np.testing.assert_allclose(same, one, atol=1e-6)
    one, same = (attention.nearest(t, "items", "i1") for t in (trained, rescaled(trained)))
    assert [cosine for _, cosine in same] == pytest.approx([cosine for _, cosine in one], rel=1e-5)
    trained, log = in_days
    one, same = (attention.attention_by_elapsed(t, log) for t in (trained, rescaled(trained)))
    assert [row[3] for row in same] == pytest.approx([row[3] for row in one], rel=1e-5)


def test_arrays_are_those_of_the_ranking(opened):
    """A parameter's gradient is that of -log σ(f): for the target's own bias σ(f) - 1, and 0 for any other."""
    trained, log = opened
    inside = attention.look_inside(trained, log, longest(log))
    found = attention.arrays(trained, inside)
    assert found["self_attention"] is inside.self_attention
    assert {name.partition("/")[2] for name in found if "/" in name} == set(trained.params)
    for name, w in trained.unscaled_parameters().items():
        np.testing.assert_array_equal(found[f"parameter/{name}"], w)
        assert found[f"gradient/{name}"].shape == w.shape
    bias = found["gradient/bias.items"]
    (row,) = objects_of(trained, "items", [inside.target])
    np.testing.assert_allclose(bias[row], 1 / (1 + np.exp(-inside.score)) - 1, rtol=1e-5)
    assert np.count_nonzero(bias) == 1 and found["gradient/table.items.object"].any()


@pytest.mark.parametrize("settings", [{}, {"variant": "continuous_time", "backend": "numpy"}], ids=["atrank", "continuous_time"])
def test_left_out_is_ranking_again_without_it(settings, tmp_path):
    """Each history is packed anew from fewer events; two targets at once."""
    trained, log = a_model_as_it_starts(tmp_path, **settings)
    at, events = 12 * DAY, Events(log.group, log.object, log.action, log.time)
    look = attention.look_inside(trained, log, "u", target="f", at=at)
    rows = objects_of(trained, "items", "fg")

    def scores(events):
        n = len(events.time)
        sample = Samples(*(np.array([value]) for value in (0, 0, n, at, 0, 0)))
        batch = pack(log.schema, events, sample, np.array([rows], np.int32))
        return trained.model().forward(trained.params, batch, trained.table_scale)[0]

    expected = [scores(events) - scores(Events(*(np.delete(column, i) for column in events))) for i in range(len(DAYS))]
    found = attention.left_out(trained, look.batch.with_targets(0, rows))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert found.shape == (4, 2) and np.abs(found).min() > 1e-6 and np.ptp(found) > 1e-3
    np.testing.assert_allclose(found[:, 0], attention.left_out(trained, look.batch)[:, 0], rtol=1e-4, atol=1e-7)


def test_labels_are_one_line(opened):
    trained, _ = opened
    tables = {name: np.array([f"{word}\r\n!" for word in words]) for name, words in trained.tables.items()}
    trained = replace(trained, tables=tables)
    assert [attention.label_of(trained, group, 1) for group in (0, 1)] == ["items: i0, c0 !", "queries: q0, c0 !"]


def test_left_out_of_one(in_days):
    """Without a user's only behaviour, e is what zeros give."""
    trained, log = in_days
    look = attention.look_inside(trained, log, "u", target="f", at=1)
    ((effect,),) = attention.left_out(trained, look.batch)
    assert look.behaviours == ["a"] and effect != 0
    nobody = attention.look_inside(trained, log, "u", target="f", at=0)
    assert effect == pytest.approx(look.score - nobody.score, rel=1e-5)
    assert attention.left_out(trained, nobody.batch).shape == (0, 1)


def test_the_targets_that_the_page_offers(opened, monkeypatch):
    """The explained one, then those that the model ranks first; alone if the history leaves none."""
    trained, log = opened
    user = longest(log)
    best = first_choices(trained, log, user, attention.TARGETS, "items")
    others = [name for name in best if name != "i1"]
    assert attention.targets_of(trained, log, user, "i1", None, "items") == ["i1", *others][: attention.TARGETS]
    monkeypatch.setattr(attention, "first_choices", lambda *_: [])
    assert attention.targets_of(trained, log, user, "i1", None, "items") == ["i1"]


def test_nearest_by_all_features(opened):
    """Queries q0 … q3 are told by their words too, half of each category's bag."""
    trained, log = opened
    space = trained.model().space
    emb, _ = space.object_forward(trained.unscaled_parameters(), space.groups[1], np.arange(9), np.float32(1))
    assert emb.shape == (9, 8)  # the id and the words
    (name, cosine), *others = attention.nearest(trained, "queries", "q5", top=7)
    row = 1 + int(name[1:])
    assert cosine == pytest.approx(emb[row] @ emb[6] / np.linalg.norm(emb[row]) / np.linalg.norm(emb[6]), rel=1e-5)
    assert len(others) == 6 and all(value <= cosine for _, value in others)
    assert "q5" not in dict([(name, cosine), *others])


def test_nearest_of_a_small_group(opened):
    """Neither the object itself nor `unknown` stands in for others."""
    names = {name for name, _ in attention.nearest(opened[0], "queries", "q5", top=9)}
    assert len(names) == 7 and not names & {"q5", "unknown"}


def test_the_group_that_is_ranked(opened):
    trained, log = opened
    trained = replace(trained, schema=trained.schema.choose(targets=["items", "queries"]))
    for group in trained.schema.targets:
        assert attention.look_inside(trained, log, longest(log), group=group).target in trained.catalogues[group].objects[1:]


def test_a_user_without_behaviours(opened):
    """Such a user may have acted on objects of other groups than those of a history."""
    trained, log = opened
    trained = replace(trained, schema=trained.schema.choose(history=["queries"]))
    searches = np.add.reduceat(log.group == trained.schema.index("queries"), log.offsets[:-1], dtype=int)
    inside = attention.look_inside(trained, log, str(log.users[np.flatnonzero(searches == 0)[0]]))
    K = trained.config.spaces
    assert inside.behaviours == [] and np.isfinite(inside.score)
    assert inside.self_attention.shape == (K, 0, 0) and inside.vanilla_attention.shape == (K, 0)
