"""From a log to a model, and to a file and back."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from helpers import assert_same
from runs import assert_fault, process

from atrank_np.config import Config
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.parameters import kind
from atrank_np.runs.checkpoint import FORMAT, load, save
from atrank_np.runs.trained import Progress, assemble


@pytest.fixture
def log(tiny):
    return read_log(tiny)


def assembled(log, **settings):
    return assemble(Protocol(log, Config(width=8, spaces=2, **settings)))


def test_numbers_are_standardised_by_training_events(log):
    """An object counts as often as training acts on it; the item without a price is at the mean."""
    trained, parts = assembled(log), Protocol(log)
    price = log.catalogues["items"].features["price"]
    seen = np.repeat(price, parts.popularity[0])
    seen = seen[~np.isnan(seen)]
    assert trained.statistics == {"items.price": [pytest.approx(seen.mean()), pytest.approx(seen.std())]}
    values = {column.name: column.values for column in trained.model().space.groups[0].columns}["price"]
    assert np.flatnonzero(np.isnan(price)).tolist() == [0, 4]  # `unknown`, and i3
    assert values[[0, 4]].tolist() == [0, 0]
    found = np.repeat(values, parts.popularity[0])[np.repeat(~np.isnan(price), parts.popularity[0])]
    np.testing.assert_allclose(found, (seen - seen.mean()) / seen.std())


def test_a_number_that_is_constant_or_never_seen(log):
    for value in (3.0, 0.1, np.nan):  # the mean of some 0.1 is not quite that
        log.catalogues["items"].features["price"][:] = value
        trained = assembled(log)
        assert trained.statistics["items.price"] == [0.0 if np.isnan(value) else value, 0.0]
        assert not trained.model().space.groups[0].columns[2].values.any()


def test_a_number_too_large_to_square(log):
    log.catalogues["items"].features["price"][3] = -1e200
    with pytest.raises(DataError, match=r"^items\.price: expected numbers whose squares can be added up, got .* 1e\+200$"):
        assembled(log)


def test_a_number_that_is_constant_where_training_sees_it(log):
    """What the others have is not known to matter; and 0.1 would have a deviation of 1e-17."""
    seen = Protocol(log).popularity[0] > 0
    assert not seen.all()
    log.catalogues["items"].features["price"][:] = np.where(seen, 0.1, 5.0)
    trained = assembled(log)
    assert trained.statistics["items.price"] == [0.1, 0.0]
    assert not trained.model().space.groups[0].columns[2].values.any()


def test_a_number_far_from_all_that_training_sees(log):
    """It is one of the negatives, and would drown the rest."""
    prices = log.catalogues["items"].features["price"]
    prices[:] = np.arange(len(prices))
    trained = assembled(log)
    prices[[3, 7]] = 1e45, -1e45
    values = trained.model().space.groups[0].columns[2].values
    assert values[[3, 7]].tolist() == [10, -10] and 1 < np.abs(np.delete(values, [3, 7])).max() < 3


def test_the_model_has_the_logs_shapes(log):
    trained = assembled(log)
    shapes = {name: w.shape for name, w in trained.params.items()}
    assert shapes == trained.model().shapes()
    assert shapes["table.items.object"] == (21, 4)
    assert shapes["table.words"] == (1 + 5 + 1, 4)  # unknown; c0 … c3 and missing; cheap: shared by categories and words
    assert shapes["time.items"] == (6, 10)
    assert shapes["action.queries"] == (len(log.actions), 8)
    assert {str(w.dtype) for w in trained.params.values()} == {"float32"}


def test_saved_and_loaded(log, tmp_path):
    trained = assembled(log, seed=3, optimizer="adam")
    trained.step, trained.table_scale = 17, 0.1 + 0.2
    trained.moments = {moment: {name: w + i for name, w in trained.params.items()} for i, moment in enumerate(("mean", "square"))}
    trained.state = Progress(rows=[[1, float("nan"), *range(6)]], loss_sum=1 / 3, targets=8, seconds=0.7)
    save(tmp_path / "model.npz", trained)
    for path in (tmp_path, tmp_path / "model.npz"):
        again = load(path)
        assert again.fits(log)
        for name in ("config", "schema", "actions", "target_actions", "statistics", "events", "step", "table_scale"):
            assert getattr(again, name) == getattr(trained, name)
        assert_same((again.params, again.tables, vars(again.state)), (trained.params, trained.tables, vars(trained.state)))
        assert_same(again.moments, trained.moments)
        for group, catalogue in trained.catalogues.items():
            assert_same(again.catalogues[group].objects, catalogue.objects)
            assert again.catalogues[group].features.keys() == catalogue.features.keys()
        bag, kept = (t.catalogues["queries"].features["words"] for t in (trained, again))
        assert_same((kept.ids, kept.offsets), (bag.ids, bag.offsets))
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    del trained.moments["square"]
    save(tmp_path / "model.npz", trained)
    with pytest.raises(DataError, match="not a whole model of this program"):
        load(tmp_path)


def test_what_a_backend_hands_back(log):
    trained = assembled(log, optimizer="adagrad", backend="numpy")
    backend = trained.backend()
    backend.moments["square"]["self.P.b"][:] = 3
    trained.take_from(backend)
    assert_same(trained.moments, backend.moments)
    assert_same(trained.backend().moments, backend.moments)


def test_every_model_saved_and_loaded(competitor_run, log, tmp_path):
    trained = load(competitor_run)
    assert (trained.config.model, len(trained.users)) == (competitor_run.name, 31 if competitor_run.name == "bpr_mf" else 1)
    assert trained.fits(log) and trained.params.keys() == trained.model().shapes().keys()
    save(tmp_path / "model.npz", trained)
    again = load(tmp_path)
    assert again.config == trained.config
    assert_same((again.params, again.step, vars(again.state)), (trained.params, trained.step, vars(trained.state)))


def test_users_without_training_stay_unknown(log):
    """BPR-MF: their rows are zero, as that of row 0; all others are drawn."""
    trained, samples, found = assembled(log, model="bpr_mf"), Protocol(log).train, []
    for g, (group, width) in enumerate((("items", 10), ("queries", 8))):  # each ranks its own users
        seen = np.unique(samples.user[samples.group == g])
        table = trained.params[f"table.user/{group}"]
        assert table.shape == (31, width)
        assert np.flatnonzero(table.any(1)).tolist() == (seen + 1).tolist()
        assert table[seen + 1].all()
        found.append(seen.tolist())
    assert found[0] != found[1] and 0 < len(found[1]) < 30


def test_the_meaning_of_the_parameters(log):
    """Tables are stored divided by the scale; `meaning` multiplies it in, in a copy."""
    trained = assembled(log)
    trained.table_scale = 0.5
    meaning = trained.unscaled_parameters()
    for name, w in trained.params.items():
        np.testing.assert_array_equal(meaning[name], w * (0.5 if kind(name) == "table" else 1))
        assert not np.shares_memory(meaning[name], w)


def test_other_logs_do_not_fit(log, tiny):
    trained = assembled(log)
    assert trained.fits(read_log(tiny))
    assert trained.difference(read_log(tiny, ["object", "words"])) == "groups, features or how they are used"
    for column in ("time", "object", "action"):
        other = read_log(tiny)
        getattr(other, column)[5] += 1
        assert trained.difference(other) == "events"
    for name, values in (("category", 1), ("price", 5.0)):
        other = read_log(tiny)
        other.catalogues["items"].features[name][3] = values
        assert trained.difference(other) == "features of the objects"
    other = read_log(tiny)
    other.catalogues["queries"].features["words"].ids[0] += 1
    assert trained.difference(other) == "features of the objects"
    changes = (lambda log: log.catalogues["queries"].features["words"].offsets, lambda log: log.offsets)
    for column in changes:  # what a bag, and what a user ends with
        other = read_log(tiny)
        column(other)[3] += 1
        assert not trained.fits(other)
    other = read_log(tiny)
    other.tables["words"][2] = "x"  # the same numbers for other words
    assert trained.difference(other) == "values of words"
    other = read_log(tiny)
    other.schema = other.schema.choose(targets=["items"])
    assert trained.difference(other) == "groups, features or how they are used"
    other = read_log(tiny)
    other.actions = other.actions[::-1]
    assert trained.difference(other) == "actions"
    other = read_log(tiny)
    other.catalogues["items"].objects[3] = "x"
    assert trained.difference(other) == "objects of items"


def test_a_failed_save_keeps_the_old_file(log, tmp_path, monkeypatch):
    trained, path = assembled(log), tmp_path / "model.npz"
    save(path, trained)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    trained.step = 99
    with pytest.raises(OSError, match="No space"):
        save(path, trained)
    assert path.read_bytes() == before


def foreign():
    """name -> bytes of a file that is no whole model."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    array = buffer.getvalue()
    buffer = io.BytesIO()
    np.savez(buffer, about=np.array({"format": "atrank_np model 1"}, dtype=object))
    objects = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("about", "hello")
    archive = buffer.getvalue()
    return {
        "empty": b"",
        "text": b"hello\n" * 99,
        "pickle": pickle.dumps({"about": 1}),
        "an array": array,
        "pickled arrays": objects,
        "another archive": archive,
    }


@pytest.mark.parametrize("name", foreign())
def test_a_foreign_file(name, tmp_path):
    (tmp_path / "model.npz").write_bytes(foreign()[name])
    with pytest.raises(DataError, match=f"^{tmp_path}/model.npz: not a whole model of this program"):
        load(tmp_path)


def test_nothing_is_unpickled(tmp_path):
    """A model from a stranger must not run their code."""

    class Bomb:
        def __reduce__(self):
            return (tmp_path / "exploded").touch, ()

    np.savez(tmp_path / "model.npz", about=np.array([Bomb()], dtype=object))
    with pytest.raises(DataError):
        load(tmp_path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(part, trained_run, tmp_path):
    whole = (trained_run / "model.npz").read_bytes()
    (tmp_path / "model.npz").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataError, match="not a whole model of this program"):
        load(tmp_path)


def test_a_changed_byte(trained_run, tmp_path):
    """It is refused, or it was of no meaning, such as a date in the archive's directory."""
    whole, model = (trained_run / "model.npz").read_bytes(), load(trained_run)
    refused = 0
    for at in np.random.default_rng(0).integers(len(whole), size=60):
        changed = bytearray(whole)
        changed[at] ^= 0x55
        (tmp_path / "model.npz").write_bytes(changed)
        try:
            again = load(tmp_path)
        except DataError:
            refused += 1
        else:
            assert_same((again.params, again.tables, vars(again.state)), (model.params, model.tables, vars(model.state)))
    assert refused > 30


def test_a_model_of_another_version(trained_run, tmp_path):
    """The same names and shapes may stand for other equations: it is refused, also by a command."""
    with np.load(trained_run / "model.npz") as file:
        arrays = dict(file)
    arrays["about"] = np.array(str(arrays["about"]).replace(FORMAT, "atrank_np model 3"))
    np.savez(tmp_path / "model.npz", **arrays)
    fault = (
        f"{tmp_path / 'model.npz'}: written by another version of this program (atrank_np model 3, not {FORMAT}); train it again"
    )
    assert_fault(process("evaluate", tmp_path), fault)


@pytest.mark.parametrize("change", ["a parameter is missing", "another shape", "a setting"])
def test_an_archive_that_is_nearly_a_model(change, trained_run, tmp_path):
    with np.load(trained_run / "model.npz") as file:
        arrays = dict(file)
    if change == "a setting":
        arrays["about"] = np.array(str(arrays["about"]).replace('"width": 8', '"breadth": 8'))
    elif change == "another shape":
        arrays["param/self.P.b"] = np.zeros(3, np.float32)
    else:
        del arrays["param/self.P.b"]
    np.savez(tmp_path / "model.npz", **arrays)
    with pytest.raises(DataError, match="not a whole model of this program"):
        load(tmp_path)
