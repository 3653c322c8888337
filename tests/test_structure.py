"""Imports go one way: from the commands down, and nowhere in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "atrank_np"
# From the top to the bottom: a room may import from the rooms below its own, and from itself.
FLOORS = [
    {"__main__"},
    {"compare"},
    {"comparison", "train"},
    {"training_runs", "estimators"},
    {"holder", "training", "evaluate", "recommend", "explain", "bench"},
    {"evaluation", "gradcheck", "train_flags"},
    {"runs", "hard_negatives"},
    {"backend"},
    {"kernels", "departures"},
    {"models"},
    {"datasets"},
    {"optimizer", "cli"},
    {"layers", "parameters", "config", "metrics"},
    {"arguments", "mpi"},
    {"errors", "memory", "progress", "randomness"},
    {"arrays", "text"},
]
# What may not be known although it lies below.
STRANGERS = {
    "datasets": {"models", "layers", "parameters", "optimizer"},
    "departures": {"models", "layers", "parameters", "optimizer", "config", "metrics"},
    "layers": {"errors", "memory", "randomness", "text"},
}


def imports(path):
    """The modules of the package that a file imports, wherever in it: atrank_np.layers.ranking -> ("layers", "ranking")."""
    here = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            module = (*here[: len(here) - node.level + 1], *(node.module or "").split("."))
        elif (node.module or "").startswith("atrank_np"):
            module = tuple(node.module.split(".")[1:])
        else:
            continue
        module = tuple(filter(None, module))
        for alias in node.names:
            target = PACKAGE.joinpath(*module, alias.name)
            inside = target.is_dir() or target.with_suffix(".py").exists()
            yield (*module, alias.name) if inside else module


FILES = {path.relative_to(PACKAGE).with_suffix("").parts: path for path in PACKAGE.rglob("*.py")}
ROOMS = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def test_every_room_has_a_floor():
    assert {file[0] for file in FILES} - {"__init__"} == set(ROOMS)


def test_no_import_goes_up():
    wrong = []
    for file, path in FILES.items():
        for module in set(imports(path)):
            room, other = file[0], module[0] if module else "__init__"
            if "__init__" in (room, other) or room == other:
                continue
            if ROOMS[other] <= ROOMS[room] or other in STRANGERS.get(room, ()):
                wrong.append(f"{'/'.join(file)} imports {'.'.join(module)}")
    assert wrong == []


def test_no_circle():
    """Between files too; a package stands for its __init__."""
    graph = {}
    for file, path in FILES.items():
        targets = {module if module in FILES else (*module, "__init__") for module in imports(path)}
        graph[file] = targets - {file}
    TopologicalSorter(graph).prepare()  # CycleError names the circle
