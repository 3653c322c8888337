"""README's blocks marked `<!-- paste -->`, in order, as one shell script: `.ci/run` runs what a newcomer pastes.

python3 tests/readme.py | bash -eux
"""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
PASTED = re.compile(r"<!-- paste -->\n```(bash|python)\n(.*?)```\n", re.S)


def script(text):
    """The marked blocks of a Markdown text as a shell script. ValueError where a mark stands before anything else."""
    blocks = PASTED.findall(text)
    if len(blocks) != text.count("<!-- paste -->"):
        raise ValueError("README.md: a mark <!-- paste --> stands before something that is no block of bash or python")
    return "\n".join(code if kind == "bash" else f"python - <<'END'\n{code}END\n" for kind, code in blocks)


if __name__ == "__main__":
    print(script(README.read_text(encoding="utf-8")))
