"""What a bug is, and short ways to name tests."""

from typing import NamedTuple


class Bug(NamedTuple):
    name: str
    file: str  # in atrank_np
    text: str  # stands in the file exactly once
    replacement: str
    test: str  # test_FILE.py::test_NAME that must fail


def directions(model, ranking="dot"):
    return f"test_directions_and_entries_of_every_parameter[{model}-{ranking}-{0 if model == 'atrank' else 0.3}-True]"


def entries(variant):
    return f"test_every_entry_of_every_parameter[{variant}]"


DIRECTIONS = directions("atrank")
SHAPES = "test_shapes_and_dtypes"


def bugs_in(file, test_file, *bugs):
    """bugs: (name, text, replacement, test of the test file, or FILE::TEST)."""
    return [Bug(name, file, text, new, test if "::" in test else f"{test_file}::{test}") for name, text, new, test in bugs]
