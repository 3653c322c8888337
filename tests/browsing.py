"""A real browser for the tests of pages. A test file that imports this is skipped if Playwright is missing."""

import contextlib
import shutil

import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra [browser]: pip install '.[browser]'")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def contrast(page, selector):
    """The contrast between the letters of an element and their background, as WCAG 2 defines it."""
    colours = page.evaluate(
        """(selector) => { let e = document.querySelector(selector); const text = getComputedStyle(e).color;
           while (getComputedStyle(e).backgroundColor === "rgba(0, 0, 0, 0)") e = e.parentElement;
           return [text, getComputedStyle(e).backgroundColor]; }""",
        selector,
    )

    def light(colour):
        parts = np.array(colour[4:-1].split(","), float) / 255
        return np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)

    low, high = sorted(map(light, colours))
    return (high + 0.05) / (low + 0.05)
