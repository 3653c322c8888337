"""`places`: an action's embedding depends on its place from the end of the history."""

import json

import numpy as np
import pytest
from helpers import assert_close
from runs import assert_fault, process, run_train

from atrank_np import ATRank, read_log
from atrank_np.backend import NumpyBackend
from atrank_np.gradcheck import check_model, dense, redrawn, toy_problem
from atrank_np.kernels import NumbaBackend


def problem_of(places, **settings):
    return toy_problem(np.random.default_rng(3), places=places, **settings)


def test_rows_by_hand():
    model, _, batch, _, _ = problem_of(4)
    batch = batch._replace(
        offsets=np.array([0, 0, 1, 9]), action=np.array([2, 0, 1, 0, 0, 0, 1, 0, 2], np.int16)
    )  # histories of 0, 1 and 8
    rows = model.space.seen(batch).action
    assert rows.tolist() == [9, 3, 7, 3, 3, 3, 6, 2, 9] and rows.dtype == np.int16
    assert problem_of(1).model.space.seen(batch) is batch


def test_equal_rows_are_one_row():
    """Where the places of an action have the same embedding, the model is the paper's."""
    one, four = problem_of(1), problem_of(4)
    params = one.params | {name: np.repeat(w, 4, axis=0) for name, w in one.params.items() if name.startswith("action.")}
    scores, _ = four.model.forward(params, four.batch, four.table_scale)
    assert_close(scores, one.model.forward(one.params, one.batch, one.table_scale)[0], 1e-14)


def test_the_order_of_equal_times_counts():
    model, params, batch, scale, _ = problem_of(4)
    first = int(batch.offsets[2])  # of the history of four
    order = np.arange(len(batch.object))
    order[first : first + 4] = order[first : first + 4][::-1]
    names = ("group", "object", "bucket", "action", "elapsed")
    turned = batch._replace(**{name: getattr(batch, name)[order] for name in names})
    differ = model.forward(params, batch, scale)[0] != model.forward(params, turned, scale)[0]
    own = np.repeat(np.arange(len(batch.user)) == 2, np.diff(batch.target_offsets))
    assert differ[own].any() and not differ[~own].any()


@pytest.mark.parametrize("model", ["atrank", "bilstm", "cnn"])
def test_every_entry_of_every_parameter(model):
    checks, _ = redrawn(lambda rng: check_model(toy_problem(rng, model, places=4, backend="numpy")), 2)
    assert all(check.ok for check in checks), "\n".join(str(check) for check in checks if not check.ok)


def test_numba_equals_numpy():
    model, params, batch, scale, config = problem_of(4)
    loss, mine = NumpyBackend(model, params, config, 0, scale).gradients(batch)
    other, theirs = NumbaBackend(model, params, config, 0, scale).gradients(batch)
    assert abs(loss - other) < 1e-12
    for name in (name for name in mine if name.startswith("action.")):
        assert_close(*(dense(gradients[name], params[name].shape) for gradients in (theirs, mine)))


def test_too_many_rows_are_refused():
    with pytest.raises(ValueError, match="places: 3 actions x 20000"):
        problem_of(20_000)


def test_a_run(tiny, tmp_path):
    out = run_train(tiny, tmp_path / "run", "--places", "4")
    assert json.loads((out / "report.json").read_text())["config"]["places"] == 4
    fault = process("train", "--data", tiny, "--places", "0", "--quiet", cwd=tmp_path)
    assert_fault(fault, "--places must be at least 1, not 0")


def test_update_keeps_them(tiny):
    log = read_log(tiny)
    model = ATRank(epochs=1, places=3, seed=1).fit(log)
    ids, scores = model.update(log, epochs=1).recommend(log, n=2)
    assert ids.shape == scores.shape and np.isfinite(scores).all()
    with pytest.raises(ValueError, match="places"):
        model.update(log, places=2)
