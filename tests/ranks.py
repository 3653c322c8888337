"""What several ranks compute together, as arrays; and how tests start ranks.

mpiexec -n 2 python tests/ranks.py WHAT FILE.npz     rank 0 writes the file; without mpiexec, one process does all
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from atrank_np.backend import make_backend
from atrank_np.config import MODELS
from atrank_np.datasets.log import user_of_event
from atrank_np.datasets.reading import read_log
from atrank_np.gradcheck import random_batch, toy_problem
from atrank_np.kernels import exchange
from atrank_np.mpi import ranks
from atrank_np.optimizer import FOLD

SHARDS = 4


def exchanges():
    """What `Ranks` promises, one thing after another. In another order, these sums would have other bits."""
    own, found = ranks(), {}
    parts = np.random.default_rng(own.rank).standard_normal((2, 1000)).astype(np.float32) * 1e4
    terms = [np.random.default_rng(r).standard_normal((2, 1000)).astype(np.float32) * 1e4 for r in range(own.size)]
    expected = terms[0][0].copy()
    for part in [part for pair in terms for part in pair][1:]:
        expected += part
    own.add(parts)
    found["added"], found["expected"] = parts[0], expected
    lengths = np.arange(own.size) * 3  # the first has none
    joined = own.join(np.full(lengths[own.rank], own.rank, np.int64), np.zeros(99, np.int64), lengths.cumsum())
    found["joined"], found["whose"] = joined, np.repeat(np.arange(own.size), lengths)
    found["mapped"] = np.array([list(own.map(lambda x: x * x, range(n))) == [x * x for x in range(n)] for n in range(9)])
    found["any"] = np.array([own.any(own.rank == r) for r in range(own.size)] + [not own.any(False)])
    raised = []
    for fault in (ValueError("one"), KeyError("two")):

        def fail(fault=fault):
            raise fault

        try:
            own.of_first(fail)
        except (ValueError, KeyError) as got:
            raised.append(repr(got) == repr(fault))
    found["raised"] = np.array([*raised, own.of_first(lambda: own.rank) == 0])
    return {name: np.array(list(own.map(lambda _, v=value: v, range(own.size)))) for name, value in found.items()}


SETTINGS = [
    {"dropout": 0.3},
    {"loss": "softmax", "optimizer": "adam", "clip": 0.05},
    {"loss": "pair", "optimizer": "adagrad", "item_bias": False},
    {"loss": "pair", "backend": "numpy", "optimizer": "adam", "clip": 0.05, "dropout": 0.3},
    {"loss": "softmax", "backend": "numpy"},
]


def steps(model):
    """What some steps of a model with different settings compute, on batches of uneven shards.

    The steps go over a fold of table_scale. A batch is large enough to be sent in pieces; the last one has fewer histories than
    there are shards.
    """
    found, exchange.PIECE, ranks().apart = {}, 2**12, True
    for number, settings in enumerate(SETTINGS):
        problem = toy_problem(np.random.default_rng(1), model, shards=SHARDS, l2=0.05, table_rate=0.7, **settings)
        params = {name: w.astype(np.float32) for name, w in problem.params.items()}
        backend = make_backend(problem.model, params, replace(problem.config, threads=2), FOLD - 2)
        rng = np.random.default_rng(2)
        for lengths in ([3, 0, 40, 5, 9, 1, 2], [7] * 9, [50] * 40, [4, 2]):
            batch = random_batch(rng, problem.model.space.groups, lengths, [2] * len(lengths))
            loss, gradients = backend.gradients(batch)
            found[f"{number} {backend.step} losses"] = np.array([loss, backend.train_step(batch, 0.02)])
            found[f"{number} {backend.step} scores"] = backend.scores(batch)
            for name, gradient in gradients.items():
                found[f"{number} {backend.step} d{name}"] = gradient if isinstance(gradient, np.ndarray) else gradient.values
        for kind, arrays in {"": backend.params, **backend.moments}.items():
            found |= {f"{number} {kind} {name}": w for name, w in arrays.items()}
    return found


def reading(folder):
    """The log of a folder read in partitions: what all ranks know, and the events of each rank, one behind another."""
    log, own = read_log(folder, partitions=SHARDS), ranks()
    lengths = own.gather(np.diff(log.offsets))
    found = {"users": np.array(log.users.tolist()), "held by": np.sum([length > 0 for length in lengths], axis=0)}
    found["events"], found["counts"] = np.array([length.sum() for length in lengths]), np.array(sorted(log.counts.items()))
    found["actions"] = np.array(log.actions)
    for name, catalogue in log.catalogues.items():
        found[f"objects of {name}"] = np.array(catalogue.objects.tolist())
    columns = {"user": user_of_event(log), **{name: getattr(log, name) for name in ("group", "object", "action", "time")}}
    gathered = {name: np.concatenate(own.gather(column)) for name, column in columns.items()}
    order = np.argsort(gathered["user"], kind="stable")
    return found | {name: column[order] for name, column in gathered.items()}


if __name__ == "__main__":
    ranks()  # before anything can fail: mpiexec would wait for a rank that ends before it calls MPI
    what, file = sys.argv[1:]
    arrays = steps(what) if what in MODELS else exchanges() if what == "exchanges" else reading(what)
    if ranks().first:
        np.savez(Path(file), **arrays)
