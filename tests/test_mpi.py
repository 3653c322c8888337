"""Several ranks compute what one process does, to the bit; and they end together. `tests/ranks.py` is what they run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from logs import SHOP
from ranks import steps
from runs import HERE, TIMES, command_line, environment, outcome, process, report

from atrank_np.config import MODELS
from atrank_np.runs.checkpoint import load

pytest.importorskip("mpi4py", reason="mpi4py is not installed: pip install mpi4py mpich")
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
if MPIEXEC is None:
    pytest.skip("mpiexec is not installed: pip install mpich", allow_module_level=True)

SMALL = ["--width", "16", "--spaces", "2", "--epochs", "1", "--evaluations", "3", "--batch-size", "64", "--shards", "4"]


def on_ranks(count, *command, start=subprocess.run, **options):
    quick = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # more ranks than cores
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment() | quick)
    if start is subprocess.run:
        pipes["timeout"] = 600  # a test that hangs is one that fails
    return start([str(MPIEXEC), "-n", str(count), *map(str, command)], **pipes | options)


def train(count, *flags, **options):
    """With so many ranks; without mpiexec for 1."""
    command = command_line("train", *flags)
    return process("train", *flags) if count == 1 else on_ranks(count, *command, **options)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The data folder of the first 60 users of the shop."""
    folder = tmp_path_factory.mktemp("few")
    for path in SHOP.glob("*.*"):
        if path.name not in ("events.csv", "world.json"):
            shutil.copy(path, folder)
    header, *lines = (SHOP / "events.csv").read_text().splitlines()
    users = set(list(dict.fromkeys(line.split(",")[0] for line in lines))[:60])
    (folder / "events.csv").write_text("\n".join([header, *(x for x in lines if x.split(",")[0] in users)]) + "\n")
    return folder


def assert_same_run(out, other):
    """The same bits in parameters, state and metrics, and the same report but for times."""
    assert outcome(out) == outcome(other)
    ends = [{name: value for name, value in report(folder).items() if name not in TIMES} for folder in (out, other)]
    assert ends[0] == ends[1]


def assert_equal_arrays(got, expected):
    assert set(got) == set(expected)
    assert [name for name in expected if not np.array_equal(got[name], expected[name])] == []


@pytest.mark.parametrize("count", [2, 3])
def test_exchanges(count, tmp_path):
    """What `Ranks` promises, also of parts that cannot be divided by their number."""
    assert on_ranks(count, sys.executable, HERE / "ranks.py", "exchanges", tmp_path / "found.npz").returncode == 0
    found = np.load(tmp_path / "found.npz")
    for name in ("mapped", "any", "raised"):
        assert found[name].all(), name
    assert np.array_equal(found["added"], found["expected"]) and np.array_equal(found["joined"], found["whose"])


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("model", MODELS)
def test_steps_have_the_same_bits(model, count, tmp_path):
    ran = on_ranks(count, sys.executable, HERE / "ranks.py", model, tmp_path / "found.npz")
    assert ran.returncode == 0, ran.stderr
    assert_equal_arrays(np.load(tmp_path / "found.npz"), steps(model))


TOP_N = ["--for", "top-n", "--pool", "40", "--batch-size", "68", "--epochs", "1"]


def events_of(few, folder, files):
    """The data folder with its events in so many Parquet files, or as they are. Only the events know coupons and actions."""
    folder.mkdir()
    for path in few.glob("*.*"):
        if path.name not in ("coupons.csv", *(["events.csv"] if files else [])):
            shutil.copy(path, folder)
    schema = (few / "schema.toml").read_text().partition("[groups.coupons.features]")
    lines = [line for line in schema[0].splitlines() if not line.startswith("actions")]  # in the order of the events
    (folder / "schema.toml").write_text("\n".join([*lines, schema[1], "object = 'id'"]))
    if files:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        header, *lines = (few / "events.csv").read_text().splitlines()
        (folder / "events.parquet").mkdir()
        for i, some in enumerate(np.array_split(lines, files)):
            columns = zip(*(line.split(",") for line in some))
            pq.write_table(
                pa.table(dict(zip(header.split(","), map(list, columns)))), folder / "events.parquet" / f"part-{i}.parquet"
            )
    return folder


@pytest.mark.parametrize("files", [0, 1, 3, 7], ids=["csv", "one file", "fewer files than ranks", "files"])
def test_each_rank_reads_its_own_users(files, few, tmp_path):
    """All know all names, in the order of one process; each event is with one rank."""
    folder, log = events_of(few, tmp_path / "log", files), {}
    for count in (1, 2, 4):
        command = sys.executable, HERE / "ranks.py", folder, tmp_path / f"{count}.npz"
        ran = on_ranks(count, *command)
        assert ran.returncode == 0, ran.stderr
        log[count] = dict(np.load(tmp_path / f"{count}.npz"))
        events = log[count].pop("events")
        assert len(events) == count and events.sum() == len(log[1]["time"]) and events.max() < 1.5 * events.sum() / count
        assert (log[count]["held by"] == 1).all()
        assert_equal_arrays(log[count], log[1])
    assert len(log[1]["objects of coupons"]) > 5


RUNS = {  # flags, and numbers of ranks
    "atrank": (["--clip", "1", "--dropout", "0.2"], (2, 4)),
    "top-n": (TOP_N, (2,)),
    "patience": (["--backend", "numpy", "--patience", "1", "--evaluations", "8", "--learning-rate", "3"], (4,)),
    "partition": (["--partition", "--patience", "2", "--clip", "1", "--negatives", "3"], (2, 4)),
    "partition, top-n": (["--partition", *TOP_N], (2,)),
    "partition, bpr_mf": (["--partition", "--model", "bpr_mf", "--negatives-by", "popularity", "--loss", "softmax"], (4,)),
    "partition, few users": (["--partition", "--backend", "numpy", "--drop-full-users", "--shards", "64"], (8,)),
}


@pytest.mark.parametrize("flags, counts", RUNS.values(), ids=RUNS)
def test_runs_have_the_same_bits(flags, counts, few, tmp_path):
    outs = {count: tmp_path / str(count) for count in (1, *counts)}
    for count, out in outs.items():
        ran = train(count, "--data", few, "--out", out, *SMALL, *flags)
        assert ran.returncode == 0, ran.stderr
        said = ran.stdout.splitlines()
        assert len(said) > 5 and sum(line.startswith("test AUC") for line in said) == 1  # rank 0 alone
        assert_same_run(out, outs[1])
        assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in outs[1].iterdir())


@pytest.mark.parametrize("flags", [[], ["--partition"]], ids=["whole", "partition"])
def test_other_commands_share_the_work(flags, few, tmp_path):
    """And what they say and write is that of one process; rank 0 alone writes."""
    run = tmp_path / "run"
    assert train(1, "--data", few, "--out", run, *SMALL, *flags).returncode == 0
    found = {}
    for count in (1, 2):
        start = process if count == 1 else lambda *command: on_ranks(2, *command_line(*command))
        ranking = start("evaluate", run, "--full", "--json")
        listing = start("recommend", run, "--all", "--out", tmp_path / f"{count}.csv")
        compared = start(
            "compare", "--data", few, "--models", "cnn", "--seeds", "1", "--out", tmp_path / f"c{count}", *SMALL, *flags
        )
        assert [ran.returncode for ran in (ranking, listing, compared)] == [0, 0, 0]
        rows = re.findall(r"^\| [^|]+ \| .*", compared.stdout, re.M)  # of all tables; what follows NDCG is time
        tables = [row.split(" | ")[:6] for row in rows]
        found[count] = json.loads(ranking.stdout), (tmp_path / f"{count}.csv").read_text(), tables
    assert found[1] == found[2] and found[1][1].count("\n") > 300 and len(found[1][2]) > 4
    for run in ("atrank-0", "cnn-0"):
        assert_same_run(tmp_path / "c2" / run, tmp_path / "c1" / run)
        ranks = [np.load(tmp_path / folder / run / "ranks.npz") for folder in ("c1", "c2")]
        assert_equal_arrays(dict(ranks[0]), dict(ranks[1]))


LONG = [*SMALL, "--epochs", "12", "--evaluations", "6"]


@pytest.fixture(scope="module")
def undisturbed(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert train(1, "--data", few, "--out", out, *LONG).returncode == 0
    return out


def started(few, out):
    """The run of `undisturbed` on two ranks, when it has written its first checkpoint."""
    running = train(2, "--data", few, "--out", out, *LONG, start=subprocess.Popen)
    while running.poll() is None and not (out / "metrics.csv").exists():
        time.sleep(0.01)
    return running


def ranks_of(pid):
    """The processes of our commands that mpiexec has started, itself or through others."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found, next_ones = set(), {pid}
    while next_ones := {number for number, parent in parents.items() if parent in next_ones}:
        found |= next_ones
    return sorted(n for n in found if b"-m\0atrank_np.train" in Path(f"/proc/{n}/cmdline").read_bytes()[:200])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="ranks are found below /proc")
def test_a_rank_that_is_killed_ends_all_and_others_go_on(few, undisturbed, tmp_path):
    """With another number of ranks, from the last checkpoint, to the same bits."""
    running = started(few, tmp_path / "run")
    os.kill(ranks_of(running.pid)[-1], signal.SIGKILL)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert load(tmp_path / "run").step < load(undisturbed).step
    assert train(1, "--resume", tmp_path / "run").returncode == 0
    assert_same_run(tmp_path / "run", undisturbed)


def test_ctrl_c_stops_all_after_the_same_step(few, undisturbed, tmp_path):
    running = started(few, tmp_path / "run")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    stopped = [line for line in said.splitlines() if line.startswith("stopped")]
    step = load(tmp_path / "run").step
    assert stopped == [f"stopped after step {step} of {load(undisturbed).step}; go on with --resume {tmp_path / 'run'}"]
    assert running.returncode == 130
    ran = train(4, "--resume", tmp_path / "run")
    assert ran.returncode == 0, ran.stderr
    assert_same_run(tmp_path / "run", undisturbed)


def refused(ran, text, code=2):
    """One line, and the exit code."""
    assert (ran.returncode, ran.stdout, ran.stderr.splitlines()) == (code, "", [text])


def test_faults_of_all_ranks_are_said_once(tiny, tmp_path):
    flags = ["--data", tiny, "--quiet", "--out", tmp_path / "run", "--shards", "3"]
    refused(train(2, *flags), "error: --shards: expected a multiple of the 2 ranks, got 3")
    assert not (tmp_path / "run").exists()
    refused(train(2, "--epochs", "0"), "error: --epochs must be at least 1, not 0")


def unlike(first, second):
    """Two ranks with commands of their own, which each need the other."""
    return on_ranks(1, *first, ":", "-n", "1", *second)


def test_a_fault_of_one_rank_ends_all(tiny, tmp_path):
    flags = ["--quiet", "--out", tmp_path / "run", *SMALL, "--data"]
    ran = unlike(command_line("train", *flags, tiny), command_line("train", *flags, tiny, "--seed", "1"))
    refused(ran, "error: rank 1 has another configuration than rank 0: all must get the same flags and files")
    assert not (tmp_path / "run").exists()
    ran = unlike(command_line("train", *flags, tiny), command_line("train", *flags, tmp_path / "nowhere"))
    refused(ran, f"rank 1: error: {tmp_path / 'nowhere'}: expected a folder with events.csv, found none")


@pytest.mark.parametrize("rank", "01")
def test_ranks_that_cannot_speak_to_each_other(rank):
    """Else each process would train alone, and all into the same folder. The first one says it."""
    for lacks, text in (
        ("mpi4py", "its ranks need mpi4py: pip install mpi4py mpich"),
        ("", "started 2 ranks, and mpi4py knows of 1"),
    ):
        program = f"import sys; sys.modules['{lacks}'] = None; from atrank_np import cli, train; cli.run(train.main)"
        environ = environment() | {"PMI_SIZE": "2", "PMI_RANK": rank}
        ran = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True)
        assert ran.returncode == 2
        assert ran.stderr.startswith(f"error: mpiexec: {text}") if rank == "0" else ran.stderr == ""
