import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from logs import HEAD, write
from runs import assert_fault, process, run_train

from atrank_np import explain
from atrank_np.config import Config
from atrank_np.datasets.packing import pack
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.datasets.samples import Events, Samples
from atrank_np.errors import DataError
from atrank_np.evaluation import attention, plots
from atrank_np.evaluation.plots import DAY
from atrank_np.evaluation.ranking import rank
from atrank_np.parameters import kind
from atrank_np.runs.checkpoint import load
from atrank_np.runs.folder import open_run
from atrank_np.runs.trained import assemble


@pytest.fixture(scope="module")
def opened(trained_run):
    trained, log, _ = open_run(trained_run)
    return trained, log


def longest(log):
    return str(log.users[np.diff(log.offsets).argmax()])


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
    mean = lambda table: sum(first * count for first, _, count, *_ in table)
    assert mean(longer) > mean(rows)


DAYS = {"a": 0, "b": 1, "c": 2, "d": 10}


@pytest.fixture
def in_days(tmp_path):
    """A model as it starts and one user, who trains b after a, c after a and b, and is tested with d."""
    return a_model_as_it_starts(tmp_path)


def a_model_as_it_starts(folder, **settings):
    events = HEAD + "".join(f"u,{name},{DAY * day}\n" for name, day in DAYS.items())
    log = read_log(write(folder, events_csv=events, items_csv="object\n" + "\n".join("abcdefg") + "\n"))
    return assemble(Protocol(log, Config(width=16, spaces=2, dense_init=0.4, table_init=0.6, **settings))), log


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
    monkeypatch.setattr(attention, "rank", lambda *_, at, **others: asked.append(at) or [("g", 0.0)])
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


def test_table_4_of_some_samples(trained_run, opened, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(explain, "attention_by_elapsed", lambda trained, log, most, **others: asked.append(most) or [])
    for draw in ("draw_self_attention", "draw_vanilla_attention", "write_page"):
        monkeypatch.setattr(explain, draw, lambda *_: None)
    for samples in ("7", "0"):
        explain.main([str(trained_run), "--user", longest(opened[1]), "--out", str(tmp_path), "--samples", samples])
    assert asked == [7, None]


def test_the_command_writes_pictures_and_numbers(trained_run, opened, tmp_path, capsys):
    assert explain.main([str(trained_run), "--user", longest(opened[1]), "--out", str(tmp_path)]) == 0
    assert "Table 4" in capsys.readouterr().out
    names = {"self_attention.png", "vanilla_attention.png", "self_attention.csv", "vanilla_attention.csv",
             "attention_by_elapsed.csv", "nearest.csv", "arrays.npz", "explore.html"}  # fmt: skip
    assert names == {path.name for path in tmp_path.iterdir()}
    targets, (_, *rows) = data_of(tmp_path / "explore.html")["targets"], csv.reader((tmp_path / "vanilla_attention.csv").open())
    assert len(targets) == attention.TARGETS and [target["score"] for target in targets] == sorted(
        (target["score"] for target in targets), reverse=True)  # fmt: skip
    trained, log = opened
    effect = attention.left_out(trained, attention.look_inside(trained, log, longest(log)).batch)[:, 0]
    np.testing.assert_allclose([float(row[-1]) for row in rows], effect, atol=1e-7)
    rows = list(csv.reader((tmp_path / "self_attention.csv").open()))[1:]
    np.testing.assert_allclose([sum(map(float, row[2:])) for row in rows], 1, rtol=1e-5)


def test_the_command_means_what_it_is_asked(tmp_path, monkeypatch, capsys):
    """A group, a time, a target and a tick: every target of the page, the picture and the line of what matters most."""
    trained, log = a_model_of_two_groups(tmp_path)
    monkeypatch.setattr(explain, "open_run", lambda *_: (trained, log, None))
    drawn = []
    monkeypatch.setattr(explain, "draw_vanilla_attention", lambda _, inside, effect, tick: drawn.append((inside, effect, tick)))
    at = int(log.time.max())
    flags = ["run", "--user", "u", "--group", "queries", "--target", "q2", "--at", str(at), "--tick", "3600"]
    assert explain.main([*flags, "--out", str(tmp_path / "out")]) == 0
    data, out = data_of(tmp_path / "out" / "explore.html"), capsys.readouterr().out
    best = [name for name, _ in rank(trained, log, user="u", at=at, group="queries")]
    names = ["q2", *(name for name in best if name != "q2")]
    looks = [attention.look_inside(trained, log, "u", name, at, "queries") for name in names]
    effects = [attention.left_out(trained, look.batch)[:, 0] for look in looks]
    assert [target["name"] for target in data["targets"]] == [f"queries: {name}, {WORDS[name]}" for name in names]
    assert len(names) > 2 and np.abs(effects[0] - effects[1]).max() > 1e-3
    for target, look, effect in zip(data["targets"], looks, effects):
        np.testing.assert_allclose(target["effect"], effect, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(target["vanilla"], look.vanilla_attention, rtol=1e-3)
    assert [row["age"] for row in data["behaviours"]] == [f"{(at - time) * 3600 // DAY} d" for time in log.time[:-1]]
    ((inside, effect, tick),) = drawn
    assert (inside.target, tick) == ("q2", 3600.0)
    np.testing.assert_allclose(effect, effects[0], rtol=2e-3, atol=1e-6)
    most = np.argsort(-np.abs(effects[0]), kind="stable")[:3]
    assert [int(part.split()[0]) for part in re.search("without a behaviour: (.*)", out)[1].split("; ")] == [i + 1 for i in most]


WORDS = {"q1": "red", "q2": "red tea", "q3": "tea", "q4": "blue"}


def a_model_of_two_groups(folder):
    """As it starts; the last event is later than the time that is asked for."""
    days = [(0, "items", "a"), (30, "queries", "q1"), (60, "items", "b"), (99, "queries", "q3"), (120, "items", "c"),
            (200, "items", "d")]  # fmt: skip
    events = "user,group,object,time\n" + "".join(f"u,{group},{name},{day}\n" for day, group, name in days)
    schema = "[groups.items.features]\nobject = 'id'\n[groups.queries.features]\nobject = 'id'\nwords = 'tokens'\n"
    schema = f"target_repeats = 'keep'\n{schema}"
    write(folder, events_csv=events, items_csv="object\n" + "\n".join("abcdefg") + "\n",
          queries_csv="object,words\n" + "".join(f"{name},{words}\n" for name, words in WORDS.items()))  # fmt: skip
    (folder / "schema.toml").write_text(schema)
    log = read_log(folder)
    return assemble(Protocol(log, Config(width=16, spaces=2, dense_init=0.4, table_init=0.6))), log


def test_the_pictures_show_these_numbers(two_targets, tmp_path, monkeypatch):
    """Bars and images of both figures, read back from what was drawn."""
    (inside, _), effects = two_targets
    plt, figures = plots._pyplot(), []
    monkeypatch.setattr(plt, "close", figures.append)
    plots.draw_self_attention(tmp_path / "self.png", inside)
    plots.draw_vanilla_attention(tmp_path / "vanilla.png", inside, effects[0])
    own, vanilla = figures
    for k, weights in enumerate(inside.self_attention):
        np.testing.assert_array_equal(own.axes[k].images[0].get_array(), weights)
    mean, spaces, without = vanilla.axes[:3]
    width = lambda axes: [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(width(mean), inside.vanilla_attention.mean(0))
    np.testing.assert_array_equal(spaces.images[0].get_array(), inside.vanilla_attention.T)
    np.testing.assert_allclose(width(without), effects[0])


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
    row = attention.row_of(trained, "items", inside.target)
    np.testing.assert_allclose(bias[row], 1 / (1 + np.exp(-inside.score)) - 1, rtol=1e-5)
    assert np.count_nonzero(bias) == 1 and found["gradient/table.items.object"].any()


def test_a_model_without_self_attention_is_one_line(competitor_run):
    fault = f"{competitor_run}: explain draws self-attention, and {load(competitor_run).config.model} has none"
    with pytest.raises(DataError) as raised:
        explain.main([str(competitor_run), "--user", "u1"])
    assert str(raised.value) == fault
    if competitor_run.name == "cnn":  # one process says it for all
        assert_fault(process("explain", competitor_run, "--user", "u1"), fault)
    assert not (competitor_run / "explain").exists()


def test_a_variant_without_self_attention(tiny, tmp_path):
    run = run_train(tiny, tmp_path / "run", "--variant", "no_self_attention")
    with pytest.raises(DataError, match="explain draws self-attention, and no_self_attention has none$"):
        explain.main([str(run), "--user", "u1"])


def test_names_that_look_like_mathematics(opened, tmp_path):
    trained, log = opened
    inside = attention.look_inside(trained, log, longest(log))
    inside = inside._replace(target="$x_$", behaviours=["$5_$10"] * len(inside.behaviours))
    plots.draw_self_attention(tmp_path / "self.png", inside)
    plots.draw_vanilla_attention(tmp_path / "vanilla.png", inside, np.zeros(len(inside.behaviours)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("settings", [{}, {"variant": "continuous_time", "backend": "numpy"}], ids=["atrank", "continuous_time"])
def test_left_out_is_ranking_again_without_it(settings, tmp_path):
    """Each history is packed anew from fewer events; two targets at once."""
    trained, log = a_model_as_it_starts(tmp_path, **settings)
    at, events = 12 * DAY, Events(log.group, log.object, log.action, log.time)
    look = attention.look_inside(trained, log, "u", target="f", at=at)
    rows = [attention.row_of(trained, "items", name) for name in "fg"]

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
    """Without his only behaviour a user is nobody: e is what zeros give."""
    trained, log = in_days
    look = attention.look_inside(trained, log, "u", target="f", at=1)
    ((effect,),) = attention.left_out(trained, look.batch)
    assert look.behaviours == ["a"] and effect != 0
    nobody = attention.look_inside(trained, log, "u", target="f", at=0)
    assert effect == pytest.approx(look.score - nobody.score, rel=1e-5)
    assert attention.left_out(trained, nobody.batch).shape == (0, 1)


def data_of(page):
    """What `write_page` handed to its script."""
    return json.loads(re.search(r"^const data = (.*?); //", page.read_text("utf-8"), flags=re.M)[1])


@pytest.fixture
def two_targets(in_days):
    """Inside of two targets of one history, and their effects, which differ."""
    trained, log = in_days
    insides = [attention.look_inside(trained, log, "u", target=name, at=12 * DAY) for name in "fg"]
    return insides, np.array([attention.left_out(trained, inside.batch)[:, 0] for inside in insides])


def test_the_page_holds_all_that_is_drawn(two_targets, tmp_path):
    insides, effects = two_targets
    insides[1] = insides[1]._replace(label="</script><b>&")
    plots.write_page(tmp_path / "page.html", "u<1>", insides, effects, tick=60)
    data, one = data_of(tmp_path / "page.html"), insides[0]
    assert (tmp_path / "page.html").read_text("utf-8").count("</script>") == 1
    assert (data["user"], [target["name"] for target in data["targets"]]) == ("u<1>", [one.label, "</script><b>&"])
    assert [row["label"] for row in data["behaviours"]] == one.behaviours
    assert data["behaviours"][0]["age"] == f"{int(one.elapsed[0]) * 60 // DAY} d"
    np.testing.assert_allclose(data["self"], one.self_attention, rtol=6e-4)
    for target, inside, effect in zip(data["targets"], insides, effects):
        np.testing.assert_allclose(target["vanilla"], inside.vanilla_attention, rtol=6e-4)
        np.testing.assert_allclose(target["effect"], effect, rtol=6e-4)
        assert target["score"] == pytest.approx(inside.score, abs=6e-4)


@pytest.mark.parametrize("seconds, age", [(59, "0 min"), (3599, "59 min"), (3600, "1 h"), (86399, "23 h"), (2 * 86400, "2 d")])
def test_ages_in_words(opened, seconds, age):
    inside = attention.look_inside(*opened, longest(opened[1]))._replace(elapsed=np.array([seconds]), behaviours=["x"])
    assert plots._label(inside, 0, 1) == f"1  x, {age}"
    assert plots._label(inside._replace(elapsed=np.array([seconds / 60])), 0, 60) == f"1  x, {age}"


HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'"


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs a browser")
@pytest.mark.parametrize("act, target, space, chosen", [
    ("", 0, None, 3),
    ("pick('#target', 1); pick('#space', 1); document.querySelectorAll('tbody tr')[0].click(); press('ArrowDown');", 1, 1, 1),
    ("touch(0.3); press('ArrowUp'); press('ArrowUp'); press('ArrowUp'); press('ArrowDown');", 0, None, 1),
    ("touch(0.6); press('ArrowDown', {ctrlKey: true});", 0, None, 2),
])  # fmt: skip
def test_the_page_in_a_browser(act, target, space, chosen, two_targets, tmp_path):
    """What it shows at the start, and after a choice, a touch of a row or of the picture, and keys; names are never markup."""
    insides, effects = two_targets
    insides = [inside._replace(label=label, behaviours=[HOSTILE, "b", "c", "d"]) for inside, label in zip(insides, "FG")]
    plots.write_page(tmp_path / "page.html", "u", insides, effects)
    script = """<script>
        const pick = (list, value) => { find(list).value = value; find(list).onchange(); };
        const press = (key, more) => document.dispatchEvent(new KeyboardEvent("keydown", {key, cancelable: true, ...more}));
        const touch = (part) => find("canvas").onclick({offsetY: part * find("canvas").clientHeight});
        ACT
        const shade = (i, j) => find("canvas").getContext("2d").getImageData((j + 0.5) * 208, (i + 0.5) * 208, 1, 1).data[0];
        add(document.body, "pre", JSON.stringify([0, 1, 2, 3].map((i) => [0, 1, 2, 3].map((j) => shade(i, j)))));
        </script>"""
    (tmp_path / "acted.html").write_text((tmp_path / "page.html").read_text("utf-8") + script.replace("ACT", act), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--dump-dom"]
    page = subprocess.run(["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'acted.html'}"],
                          capture_output=True, text=True, timeout=120).stdout  # fmt: skip
    inside, effect = insides[target], effects[target]
    assert f"<h1>User u, 4 behaviours: {inside.label} is ranked with logit {round(inside.score, 3):g}</h1>" in page
    rows = re.findall(r'<tr aria-current="(true|false)">(.*?)</tr>', page)
    assert [current for current, _ in rows] == ["true" if i == chosen else "false" for i in range(4)]
    assert "<img" not in rows[0][1] and "&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in rows[0][1] and "<td>b</td>" in re.sub(
        ' title="."', "", rows[1][1])  # fmt: skip
    of_space = lambda weights: weights.mean(0) if space is None else weights[space]
    looks, own = of_space(inside.vanilla_attention), of_space(inside.self_attention)
    shown = [[float(number) for number in re.findall(r'class="number">([-\d.e]+)<', row)] for _, row in rows]
    np.testing.assert_allclose(shown, np.transpose([looks, effect, own[chosen]]), rtol=6e-3)
    bars = [re.findall(r'<i (?:class="(.*?)" )?style="left: (.*?)%; width: (.*?)%;"(?: class="(.*?)")?></i>'
                       r'<b style="left: (.*?)%;">', row) for _, row in rows]  # fmt: skip
    low, high = min(0, effect.min()), max(0, effect.max())
    for j, row in enumerate(bars):
        values, ends = (looks[j], effect[j], own[chosen, j]), ((0, looks.max()), (low, high), (0, own[chosen].max()))
        for (_, left, width, _, line), value, (first, last), even in zip(row, values, ends, (1 / 4, 0, 1 / 4)):
            expected = [100 * (x - first) / (last - first) for x in (min(value, 0), max(value, 0), even)]
            np.testing.assert_allclose([float(left), float(left) + float(width), float(line)], expected, atol=0.2)
        assert "against" in (row[1][0], row[1][3]) if effect[j] < 0 else "against" not in (row[1][0], row[1][3])
    shade = np.array(json.loads(re.search(r"<pre>(.*?)</pre>", page)[1]))
    more = own.ravel()[:, None] - own.ravel() > own.max() / 50  # than a shade can show
    assert more.sum() > 50 and (shade.ravel()[:, None] < shade.ravel())[more].all()  # the darker, the more


def test_the_targets_that_the_page_offers(opened, monkeypatch):
    """The explained one, then those that the model ranks first; alone if the history leaves none."""
    trained, log = opened
    user = longest(log)
    best = [name for name, _ in rank(trained, log, user=user, top=attention.TARGETS)]
    others = [name for name in best if name != "i1"]
    assert attention.targets_of(trained, log, user, "i1", None, "items") == ["i1", *others][: attention.TARGETS]

    def nothing_left(*_, **others):
        raise DataError("no object is left")

    monkeypatch.setattr(attention, "rank", nothing_left)
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


def test_wrong_names_are_one_line(trained_run):
    result = process("explain", trained_run, "--user", "nobody")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    result = process("explain", trained_run, "--user", "u1", "--target", "nothing")
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_what_cannot_be_drawn_is_one_line(trained_run, opened, tmp_path):
    user, run = longest(opened[1]), str(trained_run)
    for flags, fault in (("--at 0", f"user {user!r}: no behaviour before the time of ranking, so there is no attention to draw"),
                         (f"--at {2**70}", f"--at: expected an integer below 2^62, got {2**70}"),
                         ("--tick 0", "--tick: expected seconds above 0 and at most 1e9, got 0.0"),
                         ("--tick 1e10", "--tick: expected seconds above 0 and at most 1e9, got 10000000000.0"),
                         ("--samples -1", "--samples: expected at least 0, got -1"),
                         ("--group nothing", "group 'nothing': expected one that the model ranks: ")):  # fmt: skip
        with pytest.raises(DataError) as raised:
            explain.main([run, "--user", user, "--out", str(tmp_path / "out"), *flags.split()])
        assert str(raised.value).startswith(fault) and not (tmp_path / "out").exists()


def test_the_group_that_is_ranked(opened):
    trained, log = opened
    trained = replace(trained, schema=trained.schema.choose(targets=["items", "queries"]))
    for group in trained.schema.targets:
        assert attention.look_inside(trained, log, longest(log), group=group).target in trained.catalogues[group].objects[1:]


def test_a_user_without_behaviours(opened):
    """He may have acted on objects of other groups than those of a history."""
    trained, log = opened
    trained = replace(trained, schema=trained.schema.choose(history=["queries"]))
    searches = np.add.reduceat(log.group == trained.schema.index("queries"), log.offsets[:-1], dtype=int)
    inside = attention.look_inside(trained, log, str(log.users[np.flatnonzero(searches == 0)[0]]))
    K = trained.config.spaces
    assert inside.behaviours == [] and np.isfinite(inside.score)
    assert inside.self_attention.shape == (K, 0, 0) and inside.vanilla_attention.shape == (K, 0)
