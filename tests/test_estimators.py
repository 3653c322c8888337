"""The session of a notebook: the five models as classes, and what their methods refuse."""

import doctest
import threading

import numpy as np
import pytest
from runs import run_train

from atrank_np import BPRMF, CNN, ATRank, AtrankError, BiLSTM, BiLSTMAttention, DataError, Recommender, datasets, estimators
from atrank_np.config import MODELS
from atrank_np.datasets import reading
from atrank_np.datasets.folder import default_data
from atrank_np.datasets.reading import read_log
from atrank_np.runs.checkpoint import load

SMALL = dict(width=8, spaces=2, epochs=2, evaluations=3, batch_size=8, backend="numpy")


@pytest.fixture(scope="module")
def log(tiny):
    return read_log(tiny)


@pytest.fixture(scope="module")
def model(log):
    return ATRank(**SMALL).fit(log)


def test_the_examples():
    for module in (estimators, datasets, reading):
        found = doctest.testmod(module)
        assert found.attempted and not found.failed


def test_the_five_models():
    classes = (ATRank, BPRMF, BiLSTM, BiLSTMAttention, CNN)
    assert [kind.model for kind in classes] == list(MODELS)
    assert BPRMF().config.loss == "pair" and CNN(clip=2).config.clip == 2  # each has its own defaults


def test_one_line(model):
    row = model.trained_.state.rows[-1]
    settings = "backend='numpy', batch_size=8, epochs=2, evaluations=3, spaces=2, width=8"
    assert repr(model) == f"ATRank({settings}): 28 objects, test AUC {row[5]:.3f} ± {row[6]:.3f}"
    assert repr(ATRank(variant="printed")) == "ATRank(variant='printed'): not trained"
    assert repr(ATRank("top-n", seed=1)) == "ATRank(purpose='top-n', seed=1): not trained"
    assert (ATRank("top-n").config.loss, ATRank().config.loss) == ("softmax", "point")


def test_the_same_as_the_command(model, tiny, tmp_path, no_picture):
    """And from its folder."""
    out = run_train(tiny, tmp_path / "run", "--backend", "numpy")
    trained = load(out)
    assert {name: w.tobytes() for name, w in trained.params.items()} == {n: w.tobytes() for n, w in model.trained_.params.items()}
    columns = [values for name, values in model.history_.items() if name != "seconds"]
    assert [list(row) for row in zip(*columns)] == [row[:-1] for row in trained.state.rows]
    assert repr(Recommender.load(out)) == repr(model)


def test_evaluation(model, log):
    found = model.evaluate(log, at=(1, 5))
    assert (found["test_auc"], found["test_auc_se"]) == (model.history_["test_auc"][-1], model.history_["test_auc_se"][-1])
    metrics = {f"{name}@{k}" for k in (1, 5) for name in ("hr", "recall", "ndcg")} | {"mrr"}
    assert metrics | {"popularity_auc", "swapped_history_auc"} <= found.keys()
    assert found["hr@1"] == found["ndcg@1"] <= found["mrr"] <= 1 and found["hr@1"] <= found["hr@5"] == found["recall@5"]
    assert found.keys() - model.evaluate(log, at=()).keys() == metrics
    with pytest.raises(ValueError, match="^at: expected at least 1, got 0$"):
        model.evaluate(log, at=(5, 0))


def test_a_history_of_names(model, log):
    """As the log's events with the same times and actions; by default all just now, with each group's usual action."""
    trained, u = model.trained_, log.users.tolist().index("u2")
    own = slice(log.offsets[u], log.offsets[u + 1])
    names = [str(trained.catalogues[log.schema.groups[g].name].objects[o]) for g, o in zip(log.group[own], log.object[own])]
    actions = np.array(log.actions)[log.action[own]].tolist()
    ids, scores = model.recommend(history=names, times=log.time[own], actions=actions)
    of_user = model.recommend(log, ["u2"])
    assert ids.tolist() == of_user[0][0].tolist() and scores == pytest.approx(of_user[1][0])
    usual = [log.actions[trained.target_actions[g]] for g in log.group[own]]
    assert set(usual) == {"click", "search"}
    just_now = model.recommend(history=names, times=[7] * len(names), actions=usual)
    assert model.recommend(history=names)[1].tolist() == just_now[1].tolist()
    nobody = model.recommend(log, ["u2"], at=0)
    assert model.recommend(history=[])[0].tolist() == nobody[0][0].tolist()
    assert model.recommend(history=["never heard of"])[0].shape == (10,)


def test_similar_items_and_attention(model, log):
    ids, cosines = model.similar_items("i3", n=4)
    assert len(set(ids) - {"i3"}) == 4 and sorted(cosines, reverse=True) == cosines.tolist() and cosines.max() < 1
    ids, weights = model.attention(log, "u2", "i3")
    assert weights.shape == (2, len(ids)) and weights.sum(1) == pytest.approx(1)
    assert {name[0] for name in ids} == {"i", "q"} and model.attention(log, "u2")[0].tolist() == ids.tolist()
    ids, weights = BiLSTMAttention(**SMALL).fit(log).attention(log, "u2", "i3")
    assert weights.shape == (2, len(ids))
    with pytest.raises(ValueError, match="^attention: CNN has none$"):
        CNN(**SMALL).fit(log).attention(log, "u2")


def test_a_file(model, log, tmp_path):
    model.save(tmp_path / "m.npz")
    same = ATRank.load(tmp_path / "m.npz")
    assert repr(same) == repr(model) and same.recommend(log)[1].tolist() == model.recommend(log)[1].tolist()
    with pytest.raises(ValueError, match="expected a model of the class CNN, found ATRank$"):
        CNN.load(tmp_path / "m.npz")


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_eight_threads(backend, log, tmp_path):
    """A backend has one workspace; calls for different users and times do not mix."""
    ATRank(**SMALL | {"backend": backend, "threads": 2}).fit(log).save(tmp_path / "m.npz")
    model, users = ATRank.load(tmp_path / "m.npz"), log.users.tolist()
    alone = {user: model.recommend(log, [user])[1].tolist() for user in users}
    wrong, model, start = [], ATRank.load(tmp_path / "m.npz"), threading.Barrier(8)

    def ask(first):
        start.wait()
        wrong.extend(user for user in users[first:] + users[:first] if model.recommend(log, [user])[1].tolist() != alone[user])

    callers = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


def test_nothing_is_printed_unless_asked(log, capsys):
    """Where the output is a file, a line at each evaluation; and the callback gets the same numbers."""
    seen, model = [], ATRank(**SMALL)
    model.fit(log, callback=lambda *row: seen.append(row)).evaluate(log)
    model.recommend(log)
    assert capsys.readouterr() == ("", "")
    assert seen == list(zip(*(model.history_[name] for name in ("step", "loss", "test_auc"))))
    model.fit(log, show=True)
    lines = [f"step {step} of {seen[-1][0]}: loss {loss:.4f}, AUC {auc:.4f}" for step, loss, auc in seen]
    assert capsys.readouterr().err.splitlines() == lines


def test_refusals(model, log, tiny):
    """Each is an AtrankError and a ValueError, and speaks of arguments."""
    calls = {
        "log: expected a Log, as read_log and Log.from_frame make it, got DataFrame": lambda: model.fit(
            type("DataFrame", (), {})()
        ),
        "log: expected a Log, as read_log and Log.from_frame make it, got str": lambda: model.recommend(str(tiny), ["u2"]),
        "epoch: no setting of that name; there are backend, batch_size, ": lambda: ATRank(epoch=3),
        "`epochs` must be at least 1, not 0": lambda: ATRank(epochs=0),
        "`purpose` must be one of ranking, top-n, not 'fun'": lambda: ATRank("fun"),
        "`variant` 'printed' is one of atrank, not of cnn": lambda: CNN(variant="printed"),
        "`width`: a warm start keeps the model's value, 8; got 16": lambda: model.update(log, width=16),
        "ATRank: not trained yet; call fit or load first": lambda: ATRank().recommend(history=[]),
        "n: expected at least 1, got 0": lambda: model.recommend(log, ["u2"], n=0),
        "recommend: expected either a log, or a history": lambda: model.recommend(log, history=["i1"]),
        "users: expected a list, got 'u2'": lambda: model.recommend(log, "u2"),
        "recommend: users go with a log, times": lambda: model.recommend(log, times=[1]),
        "user 'nobody': not in the log; some of its users are 'u0', ": lambda: model.recommend(log, ["nobody"]),
        "object 'x': expected one of the model's items; none has ": lambda: model.recommend(log, ["u2"], candidates=["x"]),
        "group 'shops': expected one that the model ranks: items, ": lambda: model.recommend(log, group="shops"),
        "actions: expected some of ": lambda: model.recommend(history=["i1"], actions=["eat"]),
        "times and actions: expected one for each of the 1 objects": lambda: model.recommend(history=["i1"], times=[1, 2]),
        "history: expected the behaviours in the order of ": lambda: model.recommend(history=["i1", "i2"], times=[2, 1]),
        "object 'x': expected one of the model's items; none has that name": lambda: model.similar_items("x"),
    }
    for text, call in calls.items():
        with pytest.raises(ValueError) as fault:
            call()
        assert isinstance(fault.value, AtrankError) and str(fault.value).startswith(text)
    assert repr(model).startswith("ATRank(")  # none of them has changed it
    other = read_log(default_data())
    with pytest.raises(DataError, match="^the log: expected the model's groups items, queries, got items, queries, coupons$"):
        model.recommend(other, ["u7"])
