"""The command `python -m atrank_np.gradcheck`: prints the error of every gradient."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import cli
from ..config import CHOICES, MODELS, VARIANTS
from ..randomness import stream
from .cases import LAYERS, layer_cases, toy_problem
from .checks import LIMIT, Check, check_layer, check_model, redrawn


def layer_checks(rng: np.random.Generator, name: str) -> list[Check]:
    inputs, differentiated = layer_cases(rng)[name]
    return check_layer(LAYERS[f"{name}_forward"], LAYERS[f"{name}_backward"], inputs, differentiated, rng)


def model_checks(rng: np.random.Generator, settings: dict[str, Any]) -> list[Check]:
    return check_model(toy_problem(rng, **settings))


def main(arguments: Sequence[str] | None) -> int:
    layers = list(layer_cases(stream(0, "gradient check")))
    models: dict[str, dict[str, Any]] = {name: {"model": name} for name in MODELS}
    models |= {name: {"variant": name} for name in VARIANTS if name}
    p = cli.Parser(
        prog="python -m atrank_np.gradcheck",
        description="Prove every backward pass: compare its gradients with numeric derivatives, in float64.",
    )
    p.add_argument("--seed", type=cli.seed, default=0, help="of the random inputs (default: %(default)s)")
    p.add_argument("--layer", choices=layers, help="only this layer")
    p.add_argument("--model", choices=models, help="only this model, or variant of ATRank")
    options = p.parse_args(arguments)
    failed = 0

    def show(title: str, draw: Callable[[np.random.Generator], list[Check]]) -> None:
        nonlocal failed
        checks, redraws = redrawn(draw, options.seed)
        print(f"\n{title}" + f"   (redrawn {redraws} times)" * (redraws > 0), *checks, sep="\n  ")
        failed += sum(not check.ok for check in checks)

    for name in [options.layer] if options.layer else [] if options.model else layers:
        show(name, partial(layer_checks, name=name))
    for name in [options.model] if options.model else [] if options.layer else models:
        rankings = ("dot",) if name == "bpr_mf" else ("dot", "deep")
        losses = CHOICES["loss"] if name in MODELS else ("point",)  # a variant changes nothing behind the scores
        for f, loss in itertools.product(rankings, losses):
            settings = models[name] | {"ranking": f, "loss": loss, "dropout": 0.3}
            show(f"{name}, ranking {f}, loss {loss}, dropout", partial(model_checks, settings=settings))
    print(f"\n{failed} arrays are wrong" if failed else f"\nall errors are at most {LIMIT:g}")
    return int(failed > 0)


if __name__ == "__main__":
    cli.run(main)
