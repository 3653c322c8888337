"""The pictures, and the page."""

import json
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
from small_models import data_of, longest

from atrank_np.evaluation import attention, plots
from atrank_np.evaluation.plots import DAY


def test_the_pictures_show_these_numbers(two_targets):
    """Bars and images of both figures, read back from what was drawn."""
    (inside, _), effects = two_targets
    own = plots.draw_self_attention.__wrapped__(inside)
    vanilla = plots.draw_vanilla_attention.__wrapped__(inside, effects[0])
    for k, weights in enumerate(inside.self_attention):
        np.testing.assert_array_equal(own.axes[k].images[0].get_array(), weights)
    mean, spaces, without = vanilla.axes[:3]

    def width(axes):
        return [bar.get_width() for bar in axes.patches]

    np.testing.assert_allclose(width(mean), inside.vanilla_attention.mean(0))
    np.testing.assert_array_equal(spaces.images[0].get_array(), inside.vanilla_attention.T)
    np.testing.assert_allclose(width(without), effects[0])


def test_names_that_look_like_mathematics(opened, tmp_path):
    trained, log = opened
    inside = attention.look_inside(trained, log, longest(log))
    inside = inside._replace(target="$x_$", behaviours=["$5_$10"] * len(inside.behaviours))
    plots.draw_self_attention(tmp_path / "self.png", inside)
    plots.draw_vanilla_attention(tmp_path / "vanilla.png", inside, np.zeros(len(inside.behaviours)))
    assert len(list(tmp_path.iterdir())) == 2


def test_letters_that_the_default_font_lacks(opened, tmp_path, capsys):
    """Case 13: they come from a font that has them; for those that no font has, one line says so, and no warning."""
    trained, log = opened
    inside = attention.look_inside(trained, log, longest(log))
    circled, none = "\N{CIRCLED LATIN CAPITAL LETTER A}", "\U000f1234"  # the first is in STIX, which matplotlib brings along
    fonts = plots._fonts_with({circled})
    assert fonts and not any(name.startswith("Last Resort") for name in fonts) and plots._fonts_with({none}) == []
    for name, letter in (("plain", "a"), ("circled", circled), ("none", none)):
        labels = [letter * 9] * len(inside.behaviours)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            plots.draw_self_attention(tmp_path / f"{name}.png", inside._replace(label=letter, behaviours=labels))
        assert heard == []
        words = f"none.png: no font of this system has {ascii(none)[1:-1]}; install one, such as Noto Sans CJK\n"
        assert capsys.readouterr().err == (words if name == "none" else "")
    boxes, letters = (plots._write(tmp_path / "x.png", lambda: drawing(circled), fonts) for fonts in ([], fonts))
    assert (boxes, letters) == ({circled}, set())


def drawing(text):
    figure = plots.new_figure(1, 1)
    figure.text(0, 0, text)
    return figure


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
@pytest.mark.parametrize(
    "act, target, space, chosen",
    [
        ("", 0, None, 3),
        ("pick('#target', 1); pick('#space', 1); document.querySelectorAll('tbody tr')[0].click(); press('ArrowDown');", 1, 1, 1),
        ("touch(0.3); press('ArrowUp'); press('ArrowUp'); press('ArrowUp'); press('ArrowDown');", 0, None, 1),
        ("touch(0.6); press('ArrowDown', {ctrlKey: true});", 0, None, 2),
    ],
)
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
    browser = ["chromium", *flags, f"--user-data-dir={tmp_path / 'profile'}", f"file://{tmp_path / 'acted.html'}"]
    page = subprocess.run(browser, capture_output=True, text=True, timeout=120).stdout
    inside, effect = insides[target], effects[target]
    heading = re.sub("<.*?>", "", re.search("<h1>(.*?)</h1>", page)[1])
    assert heading == f"User u, 4 behaviours: {inside.label} is ranked with logit {round(inside.score, 3):g}"
    rows = re.findall(r'<tr role="row" aria-current="(true|false)".*?>(.*?)</tr>', page)
    assert [current for current, _ in rows] == ["true" if i == chosen else "false" for i in range(4)]
    assert "<img" not in rows[0][1] and "&lt;img src=x onerror=alert(1)&gt;&amp;amp;" in rows[0][1]
    assert "<bdi>b</bdi>" in rows[1][1]

    def of_space(weights):
        return weights.mean(0) if space is None else weights[space]

    looks, own = of_space(inside.vanilla_attention), of_space(inside.self_attention)
    shown = [[float(number) for number in re.findall(r'class="number">([-\d.e]+)<', row)] for _, row in rows]
    np.testing.assert_allclose(shown, np.transpose([looks, effect, own[chosen]]), rtol=6e-3)
    bar = r'<i (?:class="(.*?)" )?style="left: (.*?)%; width: (.*?)%;"(?: class="(.*?)")?></i><b style="left: (.*?)%;">'
    bars = [re.findall(bar, row) for _, row in rows]
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
