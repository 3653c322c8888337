"""The size of the kernels: lines of each file, and the functions with the most parameters.

python tests/kernel_size.py
"""

import ast
from pathlib import Path

KERNELS = Path(__file__).resolve().parent.parent / "atrank_np" / "kernels"
MOST_PARAMETERS = 10


def functions():
    """(number of parameters, file, name) of every function; self does not count."""
    for path in sorted(KERNELS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                yield len([name for name in names if name != "self"]), path.name, node.name


def lines():
    """Lines by file."""
    return {path.relative_to(KERNELS).as_posix(): path.read_text().count("\n") for path in sorted(KERNELS.rglob("*.py"))}


if __name__ == "__main__":
    for file, count in sorted(lines().items(), key=lambda item: -item[1]):
        print(f"{count:6}  {file}")
    print(f"{sum(lines().values()):6}  in all")
    for count, file, name in sorted(functions(), reverse=True)[:8]:
        print(f"{count:6}  parameters: {file} {name}")
