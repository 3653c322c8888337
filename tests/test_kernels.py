"""The compiled step against the definition: the same losses, scores, gradients and updates, whatever the model."""

import copy
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from kernel_twins import run

from atrank_np.backend import NumpyBackend
from atrank_np.config import CHOICES, MODELS, Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.gradcheck import random_batch, toy_problem
from atrank_np.kernels import NumbaBackend
from atrank_np.kernels.attention import KEPT
from atrank_np.kernels.catalogue import OBJECTS
from atrank_np.kernels.context import Assignment
from atrank_np.kernels.embedding import Share
from atrank_np.kernels.packed import Packed, pack
from atrank_np.kernels.step import update_rows
from atrank_np.kernels.workspace import CHUNK, assign_to_shards
from atrank_np.layers.embedding import Rows
from atrank_np.optimizer import FOLD, RULES
from atrank_np.randomness import Dropout
from atrank_np.runs.trained import assemble

SHOP = Path(__file__).parent.parent / "data" / "shop"
VARIANTS = [
    {},
    {"ranking": "deep"},
    {"loss": "pair"},
    {"loss": "softmax"},
    {"dropout": 0.4},
    {"item_bias": False},
    {"ranking": "deep", "loss": "pair", "dropout": 0.2, "shards": 3, "threads": 2},
    {"shards": 1},
    {"clip": 0.05},
    {"variant": "printed", "shards": 3},
    {"variant": "no_time"},
]


def both(problem, dtype=np.float64, step=3):
    """The two backends with parameters of their own."""
    copies = [{name: w.astype(dtype) for name, w in problem.params.items()} for _ in range(2)]
    make = lambda kind, params: kind(problem.model, params, problem.config, step, problem.table_scale)
    return make(NumpyBackend, copies[0]), make(NumbaBackend, copies[1])


def dense(gradient, shape):
    if not isinstance(gradient, Rows):
        return gradient
    whole = np.zeros(shape, gradient.values.dtype)
    whole[gradient.ids] = gradient.values
    return whole


def assert_close(a, b, tolerance):
    """Of the array's largest entry, or of 1e-3: pair-wise, the deep f's last bias has a gradient of 0."""
    assert a.shape == b.shape and a.dtype == b.dtype
    scale = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0), 1e-3)
    assert np.abs(a - b).max(initial=0) <= tolerance * scale, f"differ by {np.abs(a - b).max() / scale:.1e}\n{a}\n{b}"


def arrays_in(packed):
    """All arrays that packed arguments, or tuples of arrays, point to."""
    if isinstance(packed, np.ndarray):
        return [packed]
    inside = packed.keep.values() if isinstance(packed, Packed) else packed if isinstance(packed, (list, tuple)) else ()
    return [array for part in inside for array in arrays_in(part)]


COMPETITORS = [name for name in MODELS if name != "atrank"]


def assert_equal_backends(problem, dtype=np.float64, tolerance=1e-12, rate=0.1):
    numpy, numba = both(problem, dtype)
    batch = problem.batch
    assert_close(numba.scores(batch), numpy.scores(batch), tolerance)
    expected, wanted = numpy.gradients(batch)
    loss, gradients = numba.gradients(batch)
    assert abs(loss - expected) <= tolerance * max(1, abs(expected))
    assert gradients.keys() == wanted.keys()
    for name, w in numpy.params.items():
        assert_close(dense(gradients[name], w.shape), dense(wanted[name], w.shape), tolerance)
    for _ in range(3):
        assert abs(numpy.train_step(batch, rate) - numba.train_step(batch, rate)) <= 10 * tolerance
    assert (numba.step, numba.table_scale) == (numpy.step, numpy.table_scale)
    for name, w in numba.params.items():
        assert_close(w, numpy.params[name], 10 * tolerance)


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_float64(settings):
    assert_equal_backends(toy_problem(np.random.default_rng(1), **settings))


@pytest.mark.parametrize("loss", CHOICES["loss"])
@pytest.mark.parametrize("model", COMPETITORS)
def test_competitors(model, loss):
    deep = loss == "pair" and model != "bpr_mf"
    settings = dict(ranking="deep" if deep else "dot", loss=loss, dropout=0.3, item_bias=not deep, shards=3, clip=0.05)
    assert_equal_backends(toy_problem(np.random.default_rng(1), model, **settings))


@pytest.mark.parametrize("clip", [0, 0.05])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
@pytest.mark.parametrize("model", MODELS)
def test_optimizers(model, optimizer, clip):
    """Over a fold of table_scale, with rows that miss steps and rows that come several times in a batch; moments, too."""
    settings = dict(shards=3, dropout=0.2 if model == "atrank" else 0.0, l2=0.05, table_rate=0.7, clip=clip)
    problem, rng = toy_problem(np.random.default_rng(1), model, optimizer=optimizer, **settings), np.random.default_rng(2)
    numpy, numba = both(problem, step=FOLD - 6)
    for _ in range(12):
        batch = random_batch(rng, problem.model.space.groups, [3, 0, 20, 5], [2, 3, 1, 2])
        assert abs(numpy.train_step(batch, 0.01) - numba.train_step(batch, 0.01)) <= 1e-12
    assert (numba.step, numba.table_scale) == (numpy.step, numpy.table_scale)
    assert numba.moments.keys() == numpy.moments.keys() == set(RULES[optimizer].moments)
    for part, expected in ((numba.params, numpy.params), *((numba.moments[m], numpy.moments[m]) for m in numpy.moments)):
        for name, w in expected.items():
            assert_close(part[name], w, 1e-12)


@pytest.mark.parametrize("model", MODELS)
def test_float32(model):
    assert_equal_backends(toy_problem(np.random.default_rng(2), model), np.float32, 1e-5)


@pytest.mark.parametrize("lengths", [[0, 0], [KEPT, KEPT + 1, 1], [2 * CHUNK], [7] * 90])
@pytest.mark.parametrize("model", MODELS)
def test_histories_of_any_length(lengths, model):
    """None at all, longer than the kept weights, longer than a chunk, many chunks."""
    problem = toy_problem(np.random.default_rng(3), model)
    targets = [1 + b % 3 for b in range(len(lengths))]
    batch = random_batch(np.random.default_rng(4), problem.model.space.groups, lengths, targets)
    numpy, numba = both(problem._replace(batch=batch))
    for _ in range(2):  # the second time in a used workspace
        expected, wanted = numpy.gradients(batch)
        loss, gradients = numba.gradients(batch)
        assert abs(loss - expected) <= 1e-12 * max(1, expected)
        for name, w in numpy.params.items():
            # Rows of thousands add up in another order, and the deepest sums cancel.
            assert_close(dense(gradients[name], w.shape), dense(wanted[name], w.shape), 1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_a_step_forgets_the_batch_before(model):
    """The first chunk writes gradients over the old ones: also if it is without behaviours, or the shard without histories."""
    problem = toy_problem(np.random.default_rng(3), model, shards=2)
    groups, rng = problem.model.space.groups, np.random.default_rng(4)
    numpy, numba = both(problem)
    for lengths in ([30] * 12, [0], [5]):
        batch = random_batch(rng, groups, lengths, [2] * len(lengths))
        (_, wanted), (_, gradients) = numpy.gradients(batch), numba.gradients(batch)
        for name, w in numpy.params.items():
            assert_close(dense(gradients[name], w.shape), dense(wanted[name], w.shape), 1e-11)


def test_a_history_without_targets():
    problem = toy_problem(np.random.default_rng(5))
    batch = random_batch(np.random.default_rng(6), problem.model.space.groups, [3, 2, 4], [2, 0, 2])
    assert_equal_backends(problem._replace(batch=batch))


@pytest.mark.parametrize("lengths", [[1, 3, 1, 2, 0, 1], [1] * 4, [1] * 150], ids=len)
def test_what_lay_in_the_workspace_is_not_read(lengths):
    """Histories of one behaviour, whose softmax has no gradient, among them."""
    problem = toy_problem(np.random.default_rng(5), ranking="deep")
    targets = ([9, 1, 2, 1, 3, 1] + [2] * 150)[: len(lengths)]
    batch = random_batch(np.random.default_rng(6), problem.model.space.groups, lengths, targets)
    numpy, numba = both(problem)
    numba.gradients(batch)
    for shard in numba.shards:
        for rows in arrays_in([numba.buffers, shard.keep["attention"]]):
            rows[:] = np.nan
    (_, wanted), (_, gradients) = numpy.gradients(batch), numba.gradients(batch)
    for name, w in numpy.params.items():
        assert_close(dense(gradients[name], w.shape), dense(wanted[name], w.shape), 1e-11)


@pytest.mark.parametrize("model", MODELS)
def test_not_a_number_is_not_lost(model):
    """relu(NaN) is NaN: a model that has diverged has no finite loss, by which it is found out."""
    problem = toy_problem(np.random.default_rng(5), model=model)
    for name in problem.params:
        if name.startswith(("F_M", "table.")):
            problem.params[name][:] = np.nan
    for backend in both(problem):
        assert np.isnan(backend.scores(problem.batch)).any() and np.isnan(backend.train_step(problem.batch, 0.1))


def crowded(problem):
    """A batch that comes back to every row of the tables many times, in histories of all kinds."""
    return random_batch(
        np.random.default_rng(6), problem.model.space.groups, [b % 7 for b in range(40)], [1 + b % 3 for b in range(40)]
    )


def tables_of(numba):
    """Tables and item biases, of the parameters and of the moments: their arrays, one behind another."""
    flats = [numba.parameters, *numba.flat_moments.values()]
    return [flat[name] for home in flats for flat in (home.tables, home.biases) for name in flat.shapes]


@pytest.mark.parametrize("model, shards", [("atrank", 1), ("atrank", 2), ("atrank", 8), *((model, 3) for model in MODELS)])
@pytest.mark.parametrize("optimizer", RULES)
def test_bits_do_not_depend_on_the_number_of_threads(model, shards, optimizer):
    """Over a fold of table_scale, too: all threads' copies of the dense parameters take part. A shard has one."""
    results = []
    for threads in (1, 2, 3) if shards < 8 else (1, 2, 3, 4, 8):
        settings = dict(shards=shards, threads=threads, l2=0.01, optimizer=optimizer)
        problem = toy_problem(np.random.default_rng(7), model, **settings)
        _, numba = both(problem, step=FOLD - 3)
        for _ in range(5):
            loss = numba.train_step(crowded(problem), 0.1)
        moments = {f"{moment} {name}": w for moment in numba.moments for name, w in numba.moments[moment].items()}
        results.append({**numba.params, **moments, "loss": np.array(loss)})
    assert np.isfinite(results[0]["loss"])
    for other in results[1:]:
        assert all(np.array_equal(other[name], w) for name, w in results[0].items())


@pytest.mark.parametrize("histories, shards", [(0, 2), (1, 3), (5, 1), (37, 4), (50_000, 7)])
def test_histories_are_given_to_shards_as_in_plain_python(histories, shards):
    """The longest first, those that are as long as they come, each to the shard with the least work. Ranks have some shards."""
    rng = np.random.default_rng(histories)
    n, q = rng.integers(0, 100, histories), rng.integers(1, 4, histories)
    cost = [n + 0.7 * q + 0.005 * n * (n + q) for n, q in zip(n.tolist(), q.tolist())]
    expected, work = [[] for _ in range(shards)], [0.0] * shards
    for b in sorted(range(histories), key=lambda b: -cost[b]):
        s = work.index(min(work))
        expected[s].append(b)
        work[s] += cost[b]
    batch = namedtuple("Offsets", "offsets target_offsets")(*(np.append(0, np.cumsum(lengths)) for lengths in (n, q)))
    room = Assignment(*np.zeros((2, histories + 3), np.int64), np.zeros(histories + 3), np.zeros(shards))
    for first in range(shards):
        here = [pack(namedtuple("Some", "histories count")(np.zeros(histories, np.int64), 9)) for _ in range(first, shards)]
        run(assign_to_shards, batch, here, room, shards, first)
        assert [some.keep["histories"][: some.count].tolist() for some in here] == expected[first:]


@pytest.mark.parametrize("threads", [2, 3, 8])
@pytest.mark.parametrize("optimizer", RULES)
def test_each_row_of_a_table_belongs_to_one_share(optimizer, threads):
    """The shares, one after another, change the rows that are theirs, and together they are the whole update."""
    problem = toy_problem(np.random.default_rng(7), optimizer=optimizer, l2=0.01)
    batch, rate = crowded(problem), 0.1
    whole, shared = (both(problem, step=3)[1] for _ in range(2))
    whole.train_step(batch, rate)
    shared._run(batch, train=1, keep=1 - rate * problem.config.l2, **shared._rates(rate))
    for thread in range(threads):
        before = [w.copy() for w in tables_of(shared)]
        run(update_rows, shared.context, shared.rule, Share(thread, threads))
        for w, old in zip(tables_of(shared), before):
            moved = np.flatnonzero(np.any((w != old).reshape(len(w), -1), axis=1))
            assert set(moved) == set(range(thread, len(w), threads)) - {0}, "each row but the unknown one, of this share"
    for w, expected in zip(tables_of(shared), tables_of(whole)):
        np.testing.assert_array_equal(w, expected)


@pytest.mark.parametrize("optimizer", RULES)
def test_fold_and_the_way_there_and_back(optimizer):
    """Over a fold of table_scale; parameters and moments taken out and put into a new backend go on with the same bits."""
    problem = toy_problem(np.random.default_rng(8), l2=0.01, optimizer=optimizer, threads=2)
    numpy, numba = both(problem, step=FOLD - 2)
    other = None
    for i in range(4):
        if i == 1:
            taken, moments = copy.deepcopy((numba.params, numba.moments))
            other = NumbaBackend(problem.model, taken, problem.config, numba.step, numba.table_scale, moments)
            other.warm_up(problem.batch)  # changes nothing
        for backend in filter(None, (numpy, numba, other)):
            backend.train_step(problem.batch, 0.05)
    assert numba.table_scale == numpy.table_scale == (1 - 0.05 * 0.01) ** 2
    for name, w in numba.params.items():
        assert_close(w, numpy.params[name], 1e-11)
        np.testing.assert_array_equal(w, other.params[name])


def test_dropout_hash_is_that_of_randomness():
    """Through the scores of a training step: two keys, two losses; the same key, the same loss as NumPy's."""
    losses = {}
    for seed in (0, 1):
        problem = toy_problem(np.random.default_rng(10), dropout=0.5, seed=seed)
        numpy, numba = both(problem)
        losses[seed] = numba.gradients(problem.batch)[0]
        assert abs(losses[seed] - numpy.gradients(problem.batch)[0]) < 1e-12
    assert losses[0] != losses[1] and Dropout(0.5, 0, 3).key != Dropout(0.5, 1, 3).key


@pytest.mark.slow
@pytest.mark.parametrize("width, spaces", [(4, 4), (5, 1), (21, 7), (24, 2), (128, 8), (96, 6)])
def test_any_width_and_number_of_spaces(width, spaces):
    problem = toy_problem(np.random.default_rng(11), width=width, spaces=spaces, ranking="deep")
    rate = 0.1 if width < 96 else 1e-3  # at 0.1 wide ones explode, to a loss of 300,000 in three steps, and errors with them
    assert_equal_backends(problem, tolerance=1e-11, rate=rate)


@pytest.mark.parametrize("settings", [{}, {"ranking": "deep", "item_bias": False, "shards": 3}], ids=str)
@pytest.mark.parametrize("length", [0, 1, 9])
def test_a_whole_catalogue(settings, length):
    """Also after a step, which must not leave the objects' side of before."""
    problem = toy_problem(np.random.default_rng(12), **settings)
    numpy, numba = both(problem)
    for group, part in enumerate(problem.model.space.groups):
        batch = random_batch(np.random.default_rng(13), problem.model.space.groups, [length, 2], [0, 0])
        for _ in range(2):
            scores = numba.catalogue_scores(batch, group)
            assert scores.shape == (2, part.objects)
            assert_close(scores, numpy.catalogue_scores(batch, group), 1e-11)
            for backend in (numpy, numba):
                backend.train_step(problem.batch, 0.1)


@pytest.mark.parametrize("model", ["bpr_mf", "bilstm", "cnn"])
@pytest.mark.parametrize("item_bias", [True, False])
def test_a_catalogue_in_one_product(model, item_bias):
    """The same scores as target by target, for histories of any length, also after a step."""
    problem = toy_problem(np.random.default_rng(12), model=model, item_bias=item_bias)
    groups = problem.model.space.groups
    for backend in both(problem):
        for group, part in enumerate(groups):
            batch = random_batch(np.random.default_rng(13), groups, [5, 0, 1], [0, 0, 0])
            for _ in range(2):
                alone = [backend.scores(one.with_targets(group, np.arange(part.objects))) for one in batch.cut(1)]
                assert_close(backend.catalogue_scores(batch, group), np.array(alone), 1e-11)
                backend.train_step(problem.batch, 0.1)


@pytest.mark.parametrize("model", ["atrank", "bilstm_attention"])
def test_a_catalogue_of_several_blocks(model):
    """The shop's 320 items: more than a block of each of two shards, and than a chunk."""
    log = read_log(SHOP)
    config = Config(model=model, width=16, spaces=2, dense_init=0.5, table_init=1.0, gain_init=1.0)
    trained, rng = assemble(Protocol(log, config)), np.random.default_rng(18)
    bias, groups = trained.params["bias.items"], trained.model().space.groups
    assert len(bias) > max(2 * OBJECTS, CHUNK)
    bias[1:] = 0.1 * rng.standard_normal(len(bias) - 1)
    numpy, numba = (trained.backend(backend=name) for name in ("numpy", "numba"))
    batch = random_batch(rng, groups, [3], [0])
    assert_close(numba.catalogue_scores(batch, 0), numpy.catalogue_scores(batch, 0), 1e-5)


def test_workspace_is_linear_in_the_longest_history():
    problem = toy_problem(np.random.default_rng(14))
    sizes = []
    for length in (10_000, 20_000):
        _, numba = both(problem)
        batch = random_batch(np.random.default_rng(15), problem.model.space.groups, [length], [2])
        numba.scores(batch)
        sizes.append(sum(array.nbytes for array in arrays_in(numba.context)))
    assert sizes[1] < 2.05 * sizes[0]


@pytest.mark.slow
def test_a_history_of_ten_thousand_behaviours_trains():
    problem = toy_problem(np.random.default_rng(16))
    batch = random_batch(np.random.default_rng(17), problem.model.space.groups, [10_000, 3], [2, 2])
    _, numba = both(problem)
    losses = [numba.train_step(batch, 0.05) for _ in range(8)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
