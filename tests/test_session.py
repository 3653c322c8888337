"""The session of a notebook, lessons/session.py, which is a page of the book too; its asserts are the test."""

from course import run


def test_the_session(tmp_path):
    done = run("lessons/session.py", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("session done\n") and "Warning" not in done.stderr and not list(tmp_path.iterdir())
