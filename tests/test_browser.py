"""The page in a real browser: widths of screens, long and foreign names, the keyboard, a screen reader's view, dark mode."""

import numpy as np
import pytest
from browsing import CHROMIUM, chromium, contrast
from small_models import data_of

from atrank_np.evaluation import plots
from atrank_np.evaluation.attention import Inside

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, such as that of apt install chromium")

NAMES = [
    "The Complete Illustrated Guide to Long Product Titles, Vol. 7",
    "b_0123456789012345678901234567890123456789_unbroken_identifi",
    "无线蓝牙耳机 降噪 长续航 适用于手机和电脑 官方旗舰店正品",
    "ワイヤレスイヤホン 高音質 ノイズキャンセリング",
    "سماعات لاسلكية مع خاصية إلغاء الضوضاء",
    "👩\u200d🚀",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of 100 behaviours with such names."""
    rng, n, K = np.random.default_rng(0), 100, 8
    labels = [NAMES[i % len(NAMES)][:60] for i in range(n)]
    about = {"behaviours": labels, "elapsed": np.arange(n)[::-1] * 40_000, "target": "", "C": None, "e": None, "batch": None}
    insides = []
    for t in range(3):
        own, vanilla = rng.dirichlet(np.full(n, 0.3), (K, n)), rng.dirichlet(np.full(n, 0.3), K)
        insides.append(Inside(label=NAMES[t], score=1.0 - t, self_attention=own, vanilla_attention=vanilla, **about))
    path = tmp_path_factory.mktemp("page") / "explore.html"
    plots.write_page(path, "מספר 7", insides, rng.normal(size=(3, n)) / 10)
    assert len(data_of(path)["behaviours"]) == n
    return f"file://{path}"


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser, address):
    pages = []

    def page(width=1280, height=900, **options):
        pages.append(browser.new_page(viewport={"width": width, "height": height}, **options))
        pages[-1].goto(address)
        return pages[-1]

    yield page
    for one in pages:
        one.close()


# What is cut off, or lies outside of the screen or of its own box.
CUT = """() => [...document.querySelectorAll("h1, p:not(.heard), td, th, .number, .bar, select, canvas")].filter((e) => {
  const box = e.getBoundingClientRect(), cell = (e.closest("td, th") ?? document.body).getBoundingClientRect();
  return box.width === 0 || box.left < 0 || box.right > innerWidth || box.right > cell.right + 1 || box.bottom > cell.bottom + 1
    || (e.tagName !== "SELECT" && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline");
}).map((e) => e.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [420, 768, 1280, 1920])
def test_nothing_is_cut_off(width, opened):
    page = opened(width)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT) == []
    page.click("tbody tr >> nth=38")  # the last column is the one that changes
    assert page.inner_text("#reader") == "weight from number 39"
    last = page.locator("tbody tr >> nth=38").locator("td").last
    assert last.locator(".number").bounding_box()["x"] + last.locator(".number").bounding_box()["width"] <= width
    assert page.evaluate(CUT) == []


def test_the_keyboard(opened):
    """Tab reaches the two lists and the chosen row; keys choose others, which have the focus and are in sight."""
    page = opened()
    focused = "document.activeElement.rowIndex ?? document.activeElement.id"
    order = []
    for _ in range(3):
        page.keyboard.press("Tab")
        order.append(page.evaluate(focused))
    assert order == ["target", "space", 100]
    for key, row in (("ArrowUp", 99), ("Home", 1), ("ArrowUp", 1), ("ArrowDown", 2), ("End", 100)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == row and page.inner_text("#reader") == f"weight from number {row}"
        box = page.locator("tr[aria-current=true]").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 900
    assert page.locator("tbody tr[tabindex='0']").count() == 1


@pytest.mark.parametrize("width", [420, 1280])
def test_a_screen_reader(width, opened):
    """A table with headers and a name, also where a small screen shows it otherwise; bars are not read, their numbers are."""
    page = opened(width)
    table = page.get_by_role("table", name="The behaviours, oldest first.")
    assert table.get_by_role("row").count() == 101 and table.get_by_role("columnheader").count() == 6
    first = table.get_by_role("row").nth(1)
    assert first.get_by_role("cell").count() == 6 and NAMES[0][:59] in first.inner_text()
    assert page.locator(".bar:not([aria-hidden=true])").count() == 0
    assert all(page.get_by_role("combobox", name=name).count() == 1 for name in ("target", "space"))
    assert page.get_by_role("img", name="Self-attention, mean over the spaces").count() == 1
    page.click("tbody tr >> nth=2")
    assert page.get_by_role("status").inner_text() == f"number 3, {NAMES[2]}, is chosen"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_mode(scheme, opened):
    page = opened(color_scheme=scheme)
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert all(contrast(page, selector) > 7 for selector in ("h1", "td", "figcaption", "tr[aria-current=true] td"))
    most = "const flat = selfAttention('mean').flat();"
    most += "const top = flat.indexOf(Math.max(...flat)), low = flat.indexOf(Math.min(...flat));"
    pixel = "(i) => find('canvas').getContext('2d').getImageData((i % n + .5) * 9, (Math.floor(i / n) + .5) * 9, 1, 1).data[2]"
    assert page.evaluate("Math.ceil(832 / n)") == 9
    strong, weak = page.evaluate(f"() => {{ {most} const at = {pixel}; return [at(top), at(low)]; }}")
    assert (strong > weak) == dark


def test_names_that_run_from_right_to_left(opened):
    """They stand in boxes of their own, so that they do not turn the sentence around them."""
    page = opened(1920)
    assert page.evaluate("[...document.querySelectorAll('h1 bdi, td bdi')].length") == 102
    lefts = "[...document.querySelectorAll('h1 > *')].map((e) => e.getBoundingClientRect().left)"
    order = page.evaluate(lefts)
    assert order == sorted(order)
