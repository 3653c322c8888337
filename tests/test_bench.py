"""The benchmark's parts, none of them timed."""

import contextlib
import importlib.util
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from atrank_np.bench import __main__ as command
from atrank_np.bench import many_ranks, parts, ranking
from atrank_np.bench.reading import FORMATS, write_log
from atrank_np.bench.turns import assert_equal
from atrank_np.bench.workers import Fault, Ours, Site, Worker, contender
from atrank_np.bench.workload import Problem, atrank_flops
from atrank_np.config import MODELS
from atrank_np.datasets.electronics_shaped import ITEMS, USERS, electronics_shaped
from atrank_np.datasets.folder import default_data
from atrank_np.datasets.protocol import Protocol
from atrank_np.datasets.reading import read_log
from atrank_np.errors import DataError
from atrank_np.gradcheck import toy_problem

# No relu of the trial's steps lies within rounding of 0. With 40 users two did, at 6e-7: where one contender's fell on the
# other side, scores that had agreed to 1e-6 differed by 3e-3 of the largest, and neither was wrong.
SMALL = dict(users=42, items=200)


@pytest.fixture(scope="module")
def log():
    return electronics_shaped(6000)


@pytest.fixture(scope="module")
def sites():
    """name -> Site, in this process, of all contenders but numba, whose kernels have tests of their own."""
    pytest.importorskip("torch")
    return {name: Site(name, 1, **SMALL) for name in ("numpy", *command.TORCH)}


class Here:
    """A Worker without a process. Its numba is NumPy: only the questions and answers matter."""

    def __init__(self, name):
        self.site = Site("numpy" if name == "numba" else name, 1, **SMALL)

    def ask(self, question, **arguments):
        return getattr(self.site, question)(**arguments)


@contextlib.contextmanager
def here(names, threads, **workload):
    yield {name: Here(name) for name in names}


# The workload


def test_lengths_have_the_mean_and_the_cap(log):
    lengths = np.diff(log.offsets)
    assert abs(lengths.mean() - 8.78) < 0.02
    assert lengths.min() == 5 and lengths.max() == 100


def test_full_size_has_so_many_samples(log):
    samples = Protocol(log).train
    assert len(samples.user) == (np.diff(log.offsets) - 2).sum()  # no repeat is dropped
    assert abs(len(samples.user) * USERS / 6000 - 1.3e6) < 0.01e6
    length = (samples.end - samples.start).astype(float)
    assert 7 < length.mean() < 8.5 and 120 < (length**2).mean() < 220


def test_popularity_is_zipfs(log):
    count = np.sort(np.bincount(log.object, minlength=ITEMS + 1)[1:])[::-1]
    expected = np.arange(1, ITEMS + 1) ** -0.8
    expected *= len(log.object) / expected.sum()
    for first, last in ((0, 1), (1, 10), (10, 100), (100, 1000)):
        assert 0.85 < count[first:last].sum() / expected[first:last].sum() < 1.15
    assert log.object.min() > 0


def test_times_grow_and_are_days(log):
    gaps = np.diff(log.time)
    inside = np.ones(len(gaps), bool)
    inside[log.offsets[1:-1] - 1] = False
    assert (gaps[inside] >= 0).all() and (log.time % 86400 == 0).all() and not log.time[log.offsets[:-1]].any()
    assert abs(np.median(gaps[inside]) / 86400 - np.exp(3)) < 2


def test_equal_arguments_give_equal_logs_and_lengths_can_be_set():
    a, b = electronics_shaped(50, 100), electronics_shaped(50, 100)
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("object", "time", "action", "offsets"))
    assert (np.diff(electronics_shaped(50, 100, 7).offsets) == 7).all()
    problem = Problem(batch=4, backend="numpy", users=50, items=100, length=7)
    lengths = [np.diff(batch.offsets).tolist() for batch in problem.pool(5)]
    assert lengths == [[7, 7]] * 5


@pytest.mark.parametrize("kind", FORMATS)
def test_a_written_log_is_read_back(kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    log = electronics_shaped(50, 2000)
    write_log(log, tmp_path, kind)
    read = read_log(tmp_path)

    def names(log):
        return log.catalogues["items"].objects[log.object].tolist()

    assert names(read) == names(log) and np.array_equal(read.time, log.time) and np.array_equal(read.offsets, log.offsets)


def test_a_pool_by_length_has_the_same_histories():
    problem = Problem(batch=8, backend="numpy", **SMALL)
    mixed, sorted_ = problem.pool(20), problem.pool(20, by_length=True)

    def lengths(pool):
        return sorted(np.concatenate([np.diff(batch.offsets) for batch in pool]).tolist())

    def padding(pool):
        return sum(np.diff(b.offsets).max() * 4 - b.offsets[-1] for b in pool)

    assert lengths(mixed) == lengths(sorted_) and len(sorted_) == 20
    assert padding(sorted_) < 0.2 * padding(mixed)


def test_groups_and_the_same_rows_of_one_group():
    problem = Problem(batch=512, backend="numpy", data=default_data())
    assert problem.log.schema.targets == ("items", "queries", "coupons")
    for batch in problem.pool(2):
        one = problem.one_group(batch)
        assert set(batch.group) == set(batch.target_group) == {0, 1, 2} and not one.group.any() and not one.target_group.any()
        for name in ("offsets", "action", "target_offsets", "label"):
            assert getattr(one, name) is getattr(batch, name)
        items = batch.group == 0
        assert np.array_equal(one.object[items], batch.object[items]) and one.object.max() <= 320 == batch.object.max()
        ours = Ours(problem)
        assert np.isfinite(ours.scores(one)).all() and np.isfinite(ours.step(one, 0.01))


def test_operations_of_a_step():
    batch = toy_problem(np.random.default_rng(0)).batch  # histories of 0, 1, 4, 2, 10 with 2, 3, 2, 4, 2 targets
    pairs = 1 * 4 + 4 * 6 + 2 * 6 + 10 * 12
    assert atrank_flops(batch, D=6) == 3 * (2 * 36 * (8 * 17 + 4 * 13) + 4 * 6 * pairs)


# The contenders


def test_opponents_compute_the_same_at_the_start_and_after_steps(sites):
    for scores in zip(*(site.trial() for site in sites.values())):
        assert_equal(dict(zip(sites, scores)))


def test_opponents_rank_the_same(sites):
    for number in range(3):
        ranked = {name: site.rank(number)[1] for name, site in sites.items()}
        ranked["kept"] = sites["torch best"].rank(number, keep=True)[1]
        assert all(len(scores) == SMALL["items"] + 1 for scores in ranked.values())
        assert_equal(ranked)


@pytest.mark.parametrize("name", command.TORCH)
@pytest.mark.parametrize("setting", [dict(l2=0.0), dict(l2=1e-4)])
def test_another_l2_is_noticed(name, setting):
    pytest.importorskip("torch")
    ours, other = Site("numpy", 1, **SMALL), Site("numpy", 1, **SMALL)
    other.problem.config = replace(other.problem.config, **setting)
    other.contender = contender(name, other.problem)
    with pytest.raises(Fault, match="do not compute the same"):
        assert_equal({"ours": ours.trial()[1], name: other.trial()[1]})


def test_scores_that_are_no_numbers_are_not_equal():
    with pytest.raises(Fault, match="b and a do not compute the same"):
        assert_equal({"a": np.ones(3), "b": np.array([1, np.nan, 1])})


def test_a_worker_answers_and_hands_its_faults_on():
    worker = Worker("numpy", 1, **SMALL)
    try:
        assert worker.ask("peak_rss_mb") > 20
        with pytest.raises(Fault, match="numpy: AttributeError"):
            worker.ask("no such question")
        with pytest.raises(Fault, match="has died"):
            worker.ask("peak_rss_mb")
    finally:
        worker.close()


# The command


def run(monkeypatch, tmp_path, *arguments):
    def small(options):
        options = settings(options)
        options.rounds, options.window, options.users, options.lengths, options.vocabularies = 1, 0.01, 40, [2, 4], [9, 10]
        return options

    settings = command.settings
    monkeypatch.setattr(command, "settings", small)
    for module in (parts, ranking):
        monkeypatch.setattr(module, "workers", here)
    assert command.main(["--quick", "--json", str(tmp_path / "bench.json"), *arguments]) == 0
    return json.loads((tmp_path / "bench.json").read_text())


def test_report_of_all_parts(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    report = run(monkeypatch, tmp_path, "--batch", "32", "--threads", "1", "--plot", str(tmp_path / "cost.png"))
    assert (tmp_path / "cost.png").read_bytes()[:4] == b"\x89PNG"
    for key in ("samples_per_second", "peak_rss_mb", "share_of_matmul_peak"):
        assert set(report[key]["32"]["1"]) == {"numpy", "numba", *command.TORCH}
    for key in ("ratio_numpy", "ratio_eager", "ratio_best_torch"):
        assert report[key]["32"]["1"] > 0 and len(report[f"{key}_quartiles"]["32"]["1"]) == 2
    assert report["compile_seconds"] >= 0 and 0 < report["packing_share"]["32"]["1"] < 1
    assert set(report["ranking"]["1"]["ratio"]) == {"numpy", *command.TORCH, "torch best, items kept"}
    assert (
        report["all"]["1"].keys() == {"numba", "torch best", "ratio"} and report["all"]["1"]["numba"]["share_of_matmul_peak"] > 0
    )
    assert all(report["reading"][kind]["events_per_second"] > 0 for kind in report["reading"])
    assert set(report["models"]) == {name for name in MODELS if name != "atrank"}
    assert all(cell["ratio_best_torch"] > 0 for cell in report["models"].values())
    assert set(report["groups"]["32"]) == {"samples_per_second", "time_ratio", "time_ratio_quartiles"}
    rates, (low, high) = report["groups"]["32"]["samples_per_second"], report["groups"]["32"]["time_ratio_quartiles"]
    assert low == high == report["groups"]["32"]["time_ratio"] == pytest.approx(rates["one group"] / rates["numba"])
    assert set(report["scaling"]["length"]) == {"2", "4"} and set(report["scaling"]["items"]) == {"9", "10"}
    assert "epoch" not in report  # not in --quick
    assert "| batch | threads |" in capsys.readouterr().out


def test_without_torch_one_line_says_so_and_ours_are_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    report = run(monkeypatch, tmp_path, "--only", "train", "--batch", "32", "--threads", "1")
    assert "torch is not installed" in capsys.readouterr().out.splitlines()[0]
    assert set(report["samples_per_second"]["32"]["1"]) == {"numpy", "numba"}
    assert "ratio_eager" not in report and "torch" not in report


def test_report_of_an_epoch(monkeypatch, tmp_path):
    report = run(monkeypatch, tmp_path, "--only", "epoch", "--batch", "32")
    assert set(report["epoch"]["32"]) == {"seconds", "samples", "peak_rss_mb"}


@pytest.mark.parametrize("arguments", [["--batch", "31"], ["--batch", "0"], ["--threads", "0"], ["--batch", "many"]])
def test_a_wrong_number_is_a_line(arguments):
    with pytest.raises(DataError, match=arguments[0]):
        command.main(arguments)


def test_the_model_of_more_machines():
    """Whose parts add up, and that without rows and packing is perfect but for what is sent."""
    step = many_ranks.Step(shards=16e-6, update=1e-6, packing=1e-6, fixed=1e-3, rows=900.0, packed=100.0, dense=1e6)
    network, rows = (1e9, 1e-5), 1e-6 * (0.3 + 0.7 / 16)  # each of 16 threads looks at all rows and updates its own
    assert step.seconds(1000, 1, network) == pytest.approx(1000 * (2e-6 + rows) + 1e-3)
    sent = 3 / 4 * (1000 * 1000 + 17 * 1e6) / 1e9 + 9 * 2e-5
    assert step.seconds(1000, 4, network) == pytest.approx(1000 * (2e-6 / 4 + rows) + 1e-3 + sent)
    # In 3 pieces: the 2 last ones are computed by 15 cores while the ones before are sent.
    batch, others = 3 * 4 * 2**20 // 900 + 4, 3 / 4 / 1e9
    computed, sent = batch / 4 / 3 * 16e-6 / 15, others * batch * 900 / 3
    rest = batch * (1e-6 / 4 + rows) + 1e-3 + others * (batch * 100 + 17 * 1e6) + (8 + 3) * 2e-5
    assert step.seconds(batch, 4, network) == pytest.approx(computed + 2 * max(computed, sent) + sent + rest)
    assert step.efficiency(1000, 1, network) == 1
    perfect = step._replace(update=0.0, fixed=0.0, rows=0.0, packed=0.0, dense=0.0)
    assert perfect.efficiency(2**20, 64, (1e9, 0.0)) == pytest.approx(1)  # without rows there are no pieces
    small, large = (
        {"update": 1e-3 + b * 1e-6, "shards": b * 2e-5, "packing": 0.1, "rows": b * 9.0, "packed": b * 3.0, "dense": 5.0}
        for b in (10, 20)
    )
    assert many_ranks.fitted(small, large, (10, 20)) == pytest.approx((2e-5, 1e-6, 0.005, 1e-3, 9.0, 3.0, 5.0))


def test_two_ranks_are_measured_where_mpi_is(monkeypatch):
    """Numbers of the seconds and bytes of a step; without MPI a line says so."""
    monkeypatch.setattr(many_ranks, "mpiexec", lambda: None)
    (line,) = many_ranks.part_mpi({}, None)
    assert "pip install mpi4py mpich" in line
    monkeypatch.undo()
    if not (many_ranks.mpiexec() and importlib.util.find_spec("mpi4py")):
        pytest.skip("mpi4py is not installed: pip install mpi4py mpich")
    found = many_ranks.measured(2, 1, 64, SimpleNamespace(users=300, window=0.01))
    assert found.keys() == {"step", "exchange", "rows", "packed", "dense"} and min(found.values()) > 0
    alone = many_ranks.measured(1, 1, 64, SimpleNamespace(users=300, window=0.01))
    assert alone.keys() ^ found.keys() == {"exchange", "shards", "update", "packing"} and alone["dense"] == found["dense"]
    pytest.importorskip("pyarrow")
    _, lines = many_ranks.memory_of_ranks(300)
    held = [int(row.split("|")[2]) for row in lines.splitlines()[2:]]
    assert held == sorted(held, reverse=True)
