"""The book in a real browser, once it is built: `ATRANK_BOOK=build/book pytest tests/test_book.py`."""

import os
import re
from urllib.parse import unquote

import numpy as np
import pytest
from browsing import CHROMIUM, chromium, contrast
from course import ROOT

from lessons import index
from lessons.exercises import exercise, is_transfer, names
from lessons.parts import PARTS, ROUTES

pytest.importorskip("jupytext", reason="needs the extra [book]: pip install '.[book]'")
BOOK = ROOT / os.environ.get("ATRANK_BOOK", "build/book")
pytestmark = [
    pytest.mark.skipif("ATRANK_BOOK" not in os.environ, reason="needs ATRANK_BOOK, the folder of a built book"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, such as that of apt install chromium"),
]

NINE = index.LESSONS["09"].stem
PAGES = ["index", "INDEX", NINE, "RESULTS", "attention", "solutions/e07_softmax"]


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser):
    contexts = []

    def page(name, width=1280, **options):
        """A page whose `faults` are what the console says and what is asked of the network."""
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.faults = []
        page.on("console", lambda message: page.faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else page.faults.append(request.url)
        )
        page.goto(f"file://{BOOK}/{name}.html")
        page.wait_for_function("!window.MathJax?.startup || MathJax.startup.promise.then(() => true)")
        return page

    yield page
    for one in contexts:
        one.close()


OTHERS = [script.stem for script in index.LESSONS.values() if script.stem != NINE]


@pytest.mark.parametrize(
    "name, width", [(name, width) for name in PAGES for width in (420, 1280)] + [(name, 420) for name in OTHERS]
)
def test_a_page_fits_and_is_without_faults(name, width, opened):
    page = opened(name, width)
    assert page.faults == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].filter((image) => !image.naturalWidth).map((image) => image.src)") == []
    assert page.locator("mjx-merror").count() == 0, "an equation that MathJax cannot read"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_letters_can_be_read(name, scheme, opened):
    page = opened(name, color_scheme=scheme)
    assert contrast(page, "h1") > 7 and contrast(page, "p") > 4.5
    assert all(contrast(page, selector) > 4.5 for selector in (".about", "pre.task", "summary") if page.locator(selector).count())


def test_every_link_leads_somewhere():
    """Also those to notebooks, pictures and style; anchors are Sphinx's affair, which stops at a wrong one."""
    pages = sorted(BOOK.rglob("*.html"))
    assert len(pages) > 50
    for path in pages:
        for link in re.findall(r'(?:href|src)="([^"#?]+)', path.read_text(encoding="utf-8")):
            if not re.match(r"\w+:", link):
                assert (path.parent / unquote(link)).exists(), f"{path.name} links to {link}"


@pytest.mark.parametrize("width", [420, 1280])
def test_the_index_shows_each_column(width, opened):
    page = opened("INDEX", width)
    table = page.locator("table.equations")
    assert table.locator("tbody tr").count() == len(index.ROWS)
    places = "(links) => links.map((link) => link.getBoundingClientRect()).map((box) => [box.left, box.right, box.width])"
    left, right, wide = np.transpose(table.locator("a").evaluate_all(places))
    assert left.min() >= 0 and right.max() <= width and wide.min() > 0
    softmax = table.locator("tbody tr", has=page.get_by_role("link", name="softmax_forward").first).first
    assert softmax.locator("td").nth(1).get_by_role("link", name="07").is_visible()


def test_home_has_parts_minutes_and_routes(opened):
    page = opened("index")
    text = page.locator("article").inner_text().replace("’", "'")
    for name, numbers in PARTS.items():
        there = [number for number in numbers.split() if number in index.LESSONS]
        assert page.get_by_role("heading", name=name).count() and f"{index.total(there)} minutes" in text
    for number in index.LESSONS:
        assert f"{number} {index.title(number)}".replace("`", "") in text and f"{index.minutes(number)} minutes, " in text
    assert "only attention: 02 → 07 → 08 → 09" in text and all(wish in text for wish, _ in ROUTES)
    page.get_by_role("link", name="Attention to play with").click()
    assert page.locator("h1").inner_text() == "Self-attention, forward and backward"


@pytest.mark.parametrize("number", index.LESSONS)
def test_exercises_of_a_lesson(number, opened):
    """The task is seen, hints are folded, the solution is on a page of its own, the notebook can be downloaded."""
    page = opened(index.LESSONS[number].stem)
    own = [name for name in names() if name[1:3] == number]
    assert page.locator("#exercises h3").count() == page.locator("pre.task").count() == len(own)
    assert page.locator("p.transfer").count() == sum(map(is_transfer, own))
    for name, task in zip(own, page.locator("pre.task").all()):
        shown, written = (re.sub(r"[\s\u200b`]+", "", text) for text in (task.inner_text(), exercise(name).TASK))
        assert shown == written
    hints = page.locator("details", has_text=re.compile("^Hint"))
    assert hints.count() == 2 * len(own) and not hints.first.locator("p").is_visible()
    hints.first.locator("summary").click()
    assert hints.first.locator("p").is_visible()
    assert f"{index.minutes(number)} minutes" in page.locator("p.about").first.inner_text()
    for kind, ending in ("notebook", "ipynb"), ("script", "py"):
        link = page.locator("p.about").get_by_role("link", name=kind, exact=True)
        assert link.get_attribute("download") is not None, "a browser saves it, and does not show it"
        assert link.get_attribute("href") == f"notebooks/{index.LESSONS[number].stem}.{ending}"
    if (BOOK / "solutions" / f"{own[0]}.html").exists():
        page.locator("article").get_by_role("link", name="A solution").first.click()
        assert page.locator("h1").inner_text().startswith(f"A solution of {own[0]}") and page.locator("div.highlight").count()


def test_the_code_of_a_picture_is_folded(opened):
    page = opened(NINE)
    code = page.locator("details.hide pre", has_text="with figure(").first
    assert not code.is_visible() and page.locator(".cell_output img").first.is_visible()
    page.locator("details.hide summary").first.click()
    assert code.is_visible()


def row(page, column):
    """The numbers of a column of the table on the page of attention."""
    return [float(text) for text in page.locator(f"tbody td:nth-child({column}) .number").all_inner_texts()]


def test_attention_is_that_of_the_lesson(opened):
    """Its numbers are the layer's, whatever is changed, and each gradient is right."""
    from atrank_np.layers.attention import attention_forward
    from lessons.book.attention import lesson_arrays

    page, arrays = opened("attention"), lesson_arrays()
    S, W, offsets = arrays["S"], arrays["W"], np.array([0, len(arrays["S"])])
    parameters = arrays["P_W"], arrays["P_b"][0], W[None], arrays["Q_W"], arrays["Q_b"][0]
    expected = attention_forward(S, S, *parameters, offsets, offsets)[0]
    assert np.allclose(page.evaluate("now.c"), expected, atol=1e-4)  # the page has six digits of each number
    weights = row(page, 2)
    assert abs(sum(weights) - 1) < 0.01 and len(weights) == len(S)
    right = lambda: page.locator(".checks li", has_text="✓").count()
    assert right() == 6
    page.locator("#residual").check()
    assert right() == 6 and np.allclose(np.subtract(page.evaluate("now.c"), page.evaluate("now.s")), expected, atol=1e-4)
    page.locator("tbody input").nth(1).check()
    assert row(page, 2)[1] == row(page, 4)[1] == 0 and right() == 6
    for _ in range(12):
        page.locator("#scale").press("ArrowRight")
    assert page.locator("output").inner_text() == "4" and right() == 6
    page.get_by_role("button").click()
    assert row(page, 2) == weights and page.faults == []


def test_attention_by_keys_and_touch(opened):
    page = opened("attention", 420)
    first = row(page, 2)
    page.keyboard.press("ArrowDown")
    assert page.locator("tr[aria-current=true]").inner_text().startswith("2") and row(page, 2) != first
    page.locator("tbody tr").nth(3).locator("td").last.click()
    assert page.locator("p[role=status]").inner_text() == "behaviour 4 asks"
    page.locator("#weights").click(position={"x": 5, "y": 5})
    assert row(page, 2) == first
    for box in page.locator("tbody input").all()[:-1]:
        box.check()
    assert page.locator("tbody input").last.is_disabled(), "one behaviour always stays to be seen"
