"""The pages: their links lead somewhere, their sentences are short, and their tables say where they come from and add up."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.departures import AUTHORS

ROOT = Path(__file__).resolve().parent.parent
RESULTS, SPEED, DATA = (ROOT / name for name in ("lessons/RESULTS.md", "lessons/SPEED.md", "data/README.md"))
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", DATA, *(ROOT / "lessons").glob("*.md")})
PAGES = [page for page in PAGES if page.exists()]
CODE = re.compile(r"^(```+|~~~+).*?^\1[ \t]*$|<!--.*?-->", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"!?\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<to>[^()\s]+)\)")
HASH = re.compile(r"`([0-9a-f]{7})`")
LONGEST = 25  # words of a sentence
ABBREVIATIONS = ("e.g.", "i.e.", "al.", "s.e.", "vs.")


def prose(text):
    """Without code in fences and comments."""
    return CODE.sub("", text)


def anchors(text):
    """The anchors of a page's headings, as GitHub names them."""
    found = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", LINK.sub(r"\g<text>", heading).lower()).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
        if found[slug]:
            found[f"{slug}-{found[slug]}"] = 0
    return set(found)


def broken(page):
    """The links of a page that lead nowhere in this repository."""
    for _, to in LINK.findall(INLINE.sub("", prose(page.read_text(encoding="utf-8")))):
        if re.match(r"[a-z]+:", to):
            continue
        path, _, anchor = to.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield to


def sentences(text):
    """The sentences of paragraphs and list items: not of headings, tables, code and quotations. Inline code is one word."""
    blocks = [""]
    for line in prose(text).splitlines():
        item = re.match(r" *([-*+]|\d+\.) +", line)
        after_blank = not blocks[-1]
        if not line.strip() or re.match(r" *([|>#]|$)", line) or (line.startswith("    ") and after_blank and not item):
            blocks.append("")
        elif item:
            blocks.append(line[item.end() :])
        else:
            blocks[-1] += " " + line
    for block in blocks:
        block = LINK.sub(lambda m: "" if m[0].startswith("!") else m["text"], INLINE.sub("code", block)).replace("*", "")
        begin, words = 0, block.split()
        for end, word in enumerate(words, 1):
            if re.search(r"[.!?][\"”')\]]*$", word) and word.lstrip("(") not in ABBREVIATIONS or end == len(words):
                yield " ".join(words[begin:end])
                begin = end


def length(sentence):
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def blocks_of(page):
    """A page's paragraphs and tables in order."""
    return [block for block in re.split(r"\n{2,}", prose(page.read_text(encoding="utf-8"))) if block.strip()]


def rows(block):
    """The cells of a table; a | in code or after a backslash divides none."""
    lines = [INLINE.sub(lambda m: m[0].replace("|", "\0"), line.replace("\\|", "\0")) for line in block.strip().splitlines()]
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if not re.fullmatch(r"[|\-: ]+", line)
    ]


def tables(page):
    return [rows(block) for block in blocks_of(page) if block.lstrip().startswith("|")]


def table(page, corner):
    return next(t for t in tables(page) if t[0][0] == corner)


def test_the_pages_are_there():
    assert {"README.md", "INDEX.md", "RESULTS.md", "SPEED.md"} <= {page.name for page in PAGES} and DATA in PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert list(broken(page)) == []


def test_links_that_lead_nowhere_are_noticed(tmp_path):
    other, page = tmp_path / "other.md", tmp_path / "page.md"
    other.write_text("# One *word*, `code` & more\n## Same\n## Same\n```\n# no heading\n```\n")
    good = "[a](other.md#one-word-code--more) ![b](other.md) [c](#here) [`d`](other.md#same-1) [e](https://x.org/#y) `[f](g)`\n"
    page.write_text("# Here\n" + good + "```\n[h](i)\n```\n")
    assert list(broken(page)) == []
    for wrong in ("no.md", "other.md#two", "#there", "other.md#no-heading", "other.md#same-2"):
        page.write_text(f"# Here\n{good}[a]({wrong})\n")
        assert list(broken(page)) == [wrong]


@pytest.mark.parametrize("page", (ROOT / "README.md", RESULTS, SPEED, DATA), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_sentences_are_short(page):
    found = list(sentences(page.read_text(encoding="utf-8")))
    assert len(found) > 30
    assert [f"{length(s)} words: {s}" for s in found if length(s) > LONGEST] == []


def test_what_a_sentence_is():
    text = (
        '# A heading. No\n\nOne is 0.5 ± 0.1, as Zhou et al. (2018) say. Two\nends *here.* "Three?" (Four!)\n\n'
        "| a table. | no |\n|---|---|\n\n    indented code. no\n\n- five `a b. c d` [x. y](z.md)\n  goes on\n- six\n\n"
        "```\nfenced. no\n```\n> a quotation. no\n\n![a picture](p.png)\n\nSeven: e.g. eight"
    )
    found = ["One is 0.5 ± 0.1, as Zhou et al. (2018) say.", "Two ends here.", '"Three?"', "(Four!)"]
    found += ["five code x.", "y goes on", "six", "Seven: e.g. eight"]
    assert list(sentences(text)) == found
    assert [length(s) for s in found] == [10, 3, 1, 1, 3, 3, 1, 3]


@pytest.mark.parametrize("page", (RESULTS, SPEED), ids=lambda page: page.name)
def test_every_table_of_figures_says_its_commit(page):
    blocks, checked = blocks_of(page), 0
    for i, block in enumerate(blocks):
        if not block.lstrip().startswith("|") or not re.search(r"\d\.\d\d|\d × |\d,\d\d\d|\d to \d|\| \d\d", block):
            continue
        note = next(b for b in blocks[i + 1 :] if not b.lstrip().startswith("|"))
        assert HASH.search(block) or HASH.search(note), block
        assert re.search(r"Zen [24]|two cores|no machine", note), note
        checked += 1
    assert checked > 8


@pytest.mark.parametrize("page", (RESULTS, SPEED), ids=lambda page: page.name)
def test_the_commits_are_there(page):
    git = lambda *arguments: subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    shallow = git("rev-parse", "--is-shallow-repository")
    if shallow.returncode or shallow.stdout.strip() != "false":
        pytest.skip("no history here")
    for name in set(HASH.findall(page.read_text(encoding="utf-8"))):
        assert git("merge-base", "--is-ancestor", name, "HEAD").returncode == 0, name


@pytest.mark.parametrize("page", (ROOT / "README.md", RESULTS, SPEED, DATA), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tables_have_as_many_cells_in_each_row(page):
    for t in tables(page):
        assert len({len(row) for row in t}) == 1, t[0]


def test_means_and_differences_follow_from_the_seeds():
    """Table 3's two rows of ATRank, and all that is said to be a difference of means."""
    means = {}
    for name, *seeds, summary in table(RESULTS, "Beauty, test AUC")[1:]:
        seeds = np.array(seeds, float)
        mean, deviation = map(float, summary.split(" ± "))
        assert mean == round(seeds.mean(), 4) and abs(deviation - seeds.std(ddof=1)) < 1e-4, name  # of four digits each
        means[name] = seeds.mean()
    printed = "ATRank as printed"
    today = {name.removesuffix(", later order"): mean for name, mean in means.items() if "later" in name}
    table_3 = next(t for t in tables(RESULTS) if t[0][2:4] == ["to ATRank as printed", "paired error"])
    for model, auc, difference, *_ in table_3[1:]:
        mean = today.setdefault(model, float(auc[:6]))
        assert auc[:6] == f"{mean:.4f}" and difference == ("" if model == printed else f"{mean - today[printed]:+.4f}")
    newest = {row[0]: row[1:3] for row in next(t for t in tables(RESULTS) if t[0][2] == "to ATRank")[1:]}
    ours = float(newest["ATRank"][0][:6])
    for model, (auc, difference) in newest.items():
        assert abs(float(difference[:7] or 0) - (float(auc[:6]) - ours)) < 2e-4, model  # each of four digits
    for model, latest, difference, _ in table(RESULTS, "ATRank, compared with")[1:]:
        assert difference == f"{today['ATRank'] - today[model]:+.4f}", model
        assert not latest or latest[1:] == newest[model][1][1:] and latest[0] == "+" and newest[model][1][0] == "-"


def test_what_the_authors_code_does_is_told_as_departures_has_it():
    listed = {row[2]: (row[1], row[3]) for row in table(RESULTS, "what")[1:]}
    for change in AUTHORS:
        if change.effect != "above":
            assert listed[f"`{change.flag}`"] == (change.authors, change.effect), change.what


def test_the_smallest_data_set_is_one(tmp_path):
    files = re.findall(
        r"^cat > data/mine/([\w.]+) <<'END'\n(.*?)^END$", DATA.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert [name for name, _ in files] == ["events.csv", "items.csv"]
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    parts = Protocol(read_log(tmp_path))
    assert (len(parts.train.user), len(parts.test.user)) == (2, 2)
