import pytest
from planted_bugs import BUGS, ROOT, verdict


def test_every_bug_still_has_its_place():
    """A bug whose source text has changed must be planted anew."""
    for bug in BUGS:
        assert (ROOT / "atrank_np" / bug.file).read_text().count(bug.text) == 1, bug
    assert len({(bug.file, bug.name) for bug in BUGS}) == len(BUGS)


def test_every_bug_names_a_test_that_is_there():
    for bug in BUGS:
        file, name = bug.test.split("::")
        assert f"def {name.split('[')[0]}(" in (ROOT / "tests" / file).read_text(), bug


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.file}: {bug.name}")
def test_bug_is_caught(bug):
    assert verdict(bug) == "caught"
