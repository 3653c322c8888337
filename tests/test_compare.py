"""The command compare: Tables 3 and 5, Figure 2, the variants; what is trained and what is not; differences by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from runs import assert_fault, cells, process, report, terms

from atrank_np import compare, comparison, training_runs
from atrank_np.config import MODELS, VARIANTS, Config
from atrank_np.datasets.schema import Schema
from atrank_np.errors import DataError, Diverged
from atrank_np.train_flags import parse, settings

CINEMA = Path(__file__).parent.parent / "data" / "cinema"

# NumPy: nothing to compile for these few steps.
SMALL = "--width 8 --spaces 2 --epochs 2 --evaluations 4 --batch-size 8 --backend numpy --quiet".split()  # noqa: SIM905


def command(data, out, *flags):
    assert compare.main(["--data", str(data), "--out", str(out), *SMALL, *flags]) == 0


@pytest.fixture(scope="module")
def compared(tiny, tmp_path_factory):
    """The folder of a comparison of two models with two seeds, not to be written to."""
    out = tmp_path_factory.mktemp("compare")
    command(tiny, out, "--models", "bpr_mf", "--seeds", "2")
    return out


@pytest.fixture
def own(compared, tmp_path):
    """A copy of it, to be written to."""
    return shutil.copytree(compared, tmp_path / "own")


# Table 3


def test_what_it_leaves(compared):
    runs = [f"{name}-{seed}" for name in ("atrank", "bpr_mf") for seed in (0, 1)]
    assert sorted(path.name for path in compared.iterdir()) == [*runs, "figure2.png", "table3.json", "table3.md"]
    assert (compared / "figure2.png").read_bytes().startswith(b"\x89PNG")
    for name in runs:
        assert report(compared / name)["config"]["seed"] == int(name[-1])
        assert report(compared / name)["config"]["model"] == name[:-2]
        assert len((compared / name / "metrics.csv").read_text().splitlines()) == 1 + 4  # --evaluations beside it wins
        assert (compared / name / "curve.png").exists()  # a run folder like any other


def test_table_3(compared, tiny, capsys):
    command(tiny, compared, "--models", "bpr_mf", "--seeds", "2")
    printed = capsys.readouterr()
    assert printed.out == (compared / "table3.md").read_text()
    assert [line.split("]")[0] for line in printed.err.splitlines()] == ["[1/4", "[2/4", "[3/4", "[4/4"]
    main, protocol, controls, lengths = printed.out.split("\n\n")
    figures = json.loads((compared / "table3.json").read_text())

    header, competitor, reference = cells(main)
    tops = ["HR@10", "NDCG@10"]
    assert header == ["model", "AUC", "difference", "histories swapped", *tops, "samples/s", "seconds", "seconds to 99 %"]
    for row, label, name in ((competitor, "BPR-MF", "bpr_mf"), (reference, "ATRank", "atrank")):
        reports = [report(compared / f"{name}-{seed}") for seed in (0, 1)]
        aucs = [r["test_auc"] for r in reports]
        assert figures[name]["auc"] == pytest.approx(aucs, abs=1e-12)
        assert row[:2] == [label, f"{sum(aucs) / 2:.4f} ± {abs(aucs[0] - aucs[1]) / 2**0.5:.4f}"]
        assert row[3] == f"{sum(r['swapped_history_auc'] for r in reports) / 2:.4f}"
        places = [np.load(compared / f"{name}-{seed}" / "ranks.npz")["rank"] for seed in (0, 1)]
        assert row[4] == f"{np.mean([np.mean(rank < 10) for rank in places]):.4f}"
        assert row[5] == f"{np.mean([np.mean((rank < 10) / np.log2(rank + 2)) for rank in places]):.4f}"
        assert row[6] == f"{sum(r['samples_per_second'] for r in reports) / 2:,.0f}"
    f = figures["bpr_mf"]
    assert competitor[2] == f"{f['difference']:+.4f} ± {f['se']:.4f}" and reference[2] == ""
    assert figures["atrank"]["difference"] is None
    assert f["difference"] == pytest.approx(np.mean(f["auc"]) - np.mean(figures["atrank"]["auc"]), abs=1e-12)

    one = report(compared / "atrank-0")
    assert protocol.startswith("Test AUC") and f" {one['test_users']} users." in protocol and one["negatives"] in protocol
    popularity, in_history, shared = (f"{one[f'{name}_auc']:.4f}" for name in ("popularity", "in_history", "features_shared"))
    assert controls == (
        f"Controls: popularity alone {popularity}, is it in the history {in_history}, "
        f"features shared with the history, then popularity {shared}."
    )

    header, *rows = cells(lengths)
    assert header == ["behaviours in the history", "rankings", "BPR-MF", "ATRank"]
    each, tested = terms(compared / "atrank-0")
    assert sum(int(row[1]) for row in rows) == len(each)
    two_or_three = np.isin(tested["length"], (2, 3))
    mean = (each[two_or_three].mean() + terms(compared / "atrank-1")[0][two_or_three].mean()) / 2
    row = next(row for row in rows if row[0] == "2-3")
    assert (row[1], row[3]) == (str(two_or_three.sum()), f"{mean:.4f}")
    f = f["by_length"]["2-3"]
    assert row[2] == f"{np.mean(f['auc']):.4f} ({f['difference']:+.4f} ± {f['se']:.4f})"


def test_a_flag_of_train_holds_for_all(tiny, tmp_path, no_picture, capsys):
    flags = "--models bpr_mf,atrank --seeds 1 --validate --loss point --features object,words"
    command(tiny, tmp_path, *flags.split())
    for name in ("bpr_mf-0", "atrank-0"):
        kept = json.loads((tmp_path / name / "config.json").read_text())
        assert kept["config"]["validate"] and kept["config"]["loss"] == "point"
        assert kept["data"]["features"] == ["object", "words"]
    text = capsys.readouterr().out
    assert "Validation AUC" in text and "Test AUC" not in text and " ± " not in cells(text.split("\n\n")[0])[2][1]  # one seed


def test_every_model_has_its_row_and_its_own_defaults():
    assert [row.name for row in [*comparison.COMPETITORS, comparison.ATRANK]] == [*(m for m in MODELS if m != "atrank"), "atrank"]
    for row in [*comparison.COMPETITORS, comparison.ATRANK]:
        _, config = settings(parse(list(row.flags)))
        assert config.model == row.name
        assert all(getattr(config, name) == value for name, value in MODELS[row.name].items())


# What is there is not trained again


def test_a_finished_run_is_not_trained_again(own, tiny, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file() and path.suffix != ".png"}
    monkeypatch.setattr(training_runs, "fit", None)
    command(tiny, own, "--models", "bpr_mf", "--seeds", "2", "--threads", "1")  # no bit depends on the threads
    assert {path: path.read_bytes() for path in before} == before


def test_a_stopped_run_goes_on_with_the_threads_that_are_asked_for(own, tiny):
    (own / "bpr_mf-0" / "report.json").unlink()
    command(tiny, own, "--models", "bpr_mf", "--seeds", "1", "--threads", "1")
    assert json.loads((own / "bpr_mf-0" / "report.json").read_text())["threads"] == 1


def test_what_is_missing_is_trained_and_a_stopped_run_goes_on(own, compared, tiny, monkeypatch):
    """One run is gone, one is stopped at its last step, one before its first checkpoint, one lacks its scores."""
    shutil.rmtree(own / "atrank-0")
    (own / "atrank-1" / "report.json").unlink()
    for path in (own / "bpr_mf-0").iterdir():
        if path.name != "config.json":
            path.unlink()
    (own / "bpr_mf-1" / "test_scores.npz").unlink()
    calls, fit = [], training_runs.fit

    def spy(*arguments, **options):
        calls.append((options["out"].name, options["resume"] is not None))
        return fit(*arguments, **options)

    monkeypatch.setattr(training_runs, "fit", spy)
    command(tiny, own, "--models", "bpr_mf", "--seeds", "2")
    assert calls == [("bpr_mf-0", False), ("atrank-0", False), ("bpr_mf-1", True), ("atrank-1", True)]
    figures, before = (json.loads((out / "table3.json").read_text()) for out in (own, compared))
    for name in ("bpr_mf", "atrank"):
        assert figures[name]["auc"] == before[name]["auc"] and figures[name]["by_length"] == before[name]["by_length"]


@pytest.mark.parametrize("model", ["bpr_mf", "atrank"])
def test_a_row_that_diverges_goes_without_figures(model, own, tiny, monkeypatch, capsys):
    """The others have theirs; but without ATRank, to which all differences are taken, there is no table."""
    (own / f"{model}-0" / "report.json").unlink()
    (own / f"{model}-1" / "report.json").unlink()

    def diverges(*arguments, **options):
        assert options["out"].name == f"{model}-0"  # seed 1 is not tried any more
        raise Diverged("the loss is NaN or infinite at step 7: try a lower --learning-rate")

    monkeypatch.setattr(training_runs, "fit", diverges)
    if model == "atrank":
        with pytest.raises(Diverged, match="at step 7"):
            command(tiny, own, "--models", "bpr_mf", "--seeds", "2")
        return
    command(tiny, own, "--models", "bpr_mf", "--seeds", "2")
    text = capsys.readouterr().out
    assert text.endswith("Without figures: BPR-MF (seed 0, the loss is NaN or infinite at step 7).\n")
    assert [row[0] for row in cells(text.split("\n\n")[0])] == ["model", "ATRank"]


def test_ctrl_c(tiny, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt("stopped after step 3 of 9")

    monkeypatch.setattr(training_runs, "fit", stopped)
    with pytest.raises(KeyboardInterrupt, match="^stopped after step 3 of 9; the same command goes on$"):
        command(tiny, tmp_path, "--models", "bpr_mf")


# Table 5


def test_table_5(tiny, tmp_path, no_picture, capsys):
    command(tiny, tmp_path, "--tasks", "--models", "bilstm", "--seeds", "1")
    text = capsys.readouterr().out
    assert text == (tmp_path / "table5.md").read_text()
    table, protocol = text.split("\n\n")
    assert "Differences to ATRank one2one:" in protocol
    header, *rows = cells(table)
    assert header == ["model and task", "items", "queries"]
    tasks = ["Bi-LSTM one2one", "ATRank one2one", "ATRank all2one", "ATRank all2all"]
    assert [row[0] for row in rows] == [*tasks, "popularity alone", "test users"]

    def history(folder):
        return json.loads((tmp_path / folder / "config.json").read_text())["data"]["history"]

    folders = {row[0]: [f"{row[0].lower().replace('bi-', 'bi').replace(' ', '-')}-{g}-0" for g in header[1:]] for row in rows[:3]}
    folders["ATRank all2all"] = ["atrank-all2all-0"] * 2
    assert history("atrank-one2one-queries-0") == ["queries"] and history("atrank-all2one-queries-0") == ["items", "queries"]
    for row in rows[:4]:
        for g, (name, folder) in enumerate(zip(header[1:], folders[row[0]])):
            assert report(tmp_path / folder)["test_auc_by_group"][name]["users"] == int(rows[5][1 + g])
            each, reference = terms(tmp_path / folder), terms(tmp_path / f"atrank-one2one-{name}-0")
            mine, base = (terms[tested["group"] == g] for terms, tested in (each, reference))
            assert len(mine) == len(base)
            difference = mine - base
            wanted = f" ({difference.mean():+.4f} ± {difference.std(ddof=1) / np.sqrt(len(mine)):.4f})"
            assert row[1 + g] == f"{mine.mean():.4f}" + (wanted if row[0] != "ATRank one2one" else "")


def test_tasks_of_some_groups():
    rows = comparison.task_rows([comparison.ATRANK], ["a", "b"], ["b"])
    assert {task: {g: row.flags for g, row in of.items()} for task, of in rows.items()} == {
        "ATRank one2one": {"b": ("--history", "b", "--target", "b")},
        "ATRank all2one": {"b": ("--history", "a,b", "--target", "b")},
        "ATRank all2all": {"b": ("--history", "a,b", "--target", "b")},
    }


def test_the_tasks_that_are_run_by_default(tmp_path, monkeypatch):
    """All groups of a history, though the schema ranks films alone; of all models but BPR-MF and the printed equations."""
    asked = []

    def run_all(rows, seeds, out, shared, needed):
        asked.extend(row.name for row in rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "run_all", run_all)
    assert Schema.load(CINEMA).targets == ("films",)
    with pytest.raises(KeyboardInterrupt):
        command(CINEMA, tmp_path, "--tasks")
    models = [name for name in MODELS if name not in ("atrank", "bpr_mf")]
    one2one = [f"{name}-one2one-{group}" for name in [*models, "atrank"] for group in ("films", "searches")]
    assert asked == [*one2one, "atrank-all2one-films", "atrank-all2one-searches", "atrank-all2all"]


# The variants


def test_variants(tiny, tmp_path, no_picture, capsys):
    several = [row for row in comparison.ONE_CHANGE if row.name not in ("raw_query", "authors")]  # for which tiny is too narrow
    command(tiny, tmp_path, "--variants", ",".join(row.name for row in several), "--seeds", "1", "--epochs", "1")
    text = capsys.readouterr().out
    assert text == (tmp_path / "variants.md").read_text() and (tmp_path / "variants.png").exists()
    header, *rows = cells(text.split("\n\n")[0])
    assert header[-2:] == ["flags", "the paper"]
    default = report(tmp_path / "atrank-0")["config"]
    assert rows[0][0] == "ATRank" and len(rows) == 1 + len(several) > 10
    for row, variant in zip(rows[1:], several):
        assert [row[0], *row[-2:]] == [variant.label, f"`{' '.join(variant.flags)}`", variant.claim]
        assert report(tmp_path / f"{variant.name}-0")["config"] != default


def test_all_variants_are_there():
    assert compare.parser().parse_args(["--variants"]).variants.split(",") == [row.name for row in comparison.ONE_CHANGE]
    assert [row.name for row in comparison.ONE_CHANGE if "--variant" in row.flags] == [name for name in VARIANTS if name]
    assert comparison.CLAIMS.keys() <= VARIANTS.keys()
    for row in comparison.ONE_CHANGE:  # each with the defaults that the variant has of its own
        _, config = settings(parse(list(row.flags)))
        assert config != Config()


# Faults


@pytest.mark.parametrize(
    "flags, text",
    [
        ("--models cnn,gru", "--models: expected some of bpr_mf, bilstm, bilstm_attention, cnn, printed, top_n, got 'gru'"),
        (
            "--variants clip,gru",
            f"--variants: expected some of {', '.join(row.name for row in comparison.ONE_CHANGE)}, got 'gru'",
        ),
        ("--seeds 0", "--seeds: expected at least 1, got 0"),
        ("--seed 3", "--seed: every run has its own (see python -m atrank_np.compare --help)"),
        ("--model cnn", "--model: every run has its own (see python -m atrank_np.compare --help)"),
        ("--nonsense", "unrecognized arguments: --nonsense (see python -m atrank_np.train --help)"),
        ("--models=", "--models: expected some of bpr_mf, bilstm, bilstm_attention, cnn, printed, top_n, got ''"),
        ("--variants=", f"--variants: expected some of {', '.join(row.name for row in comparison.ONE_CHANGE)}, got ''"),
        ("--variants clip --models cnn", "--models: chooses competitors, and --variants compares none; leave out one of the two"),
        ("--data nowhere", "nowhere: expected a folder with events.csv, found none"),
        (
            f"--tasks --data {CINEMA} --history searches --target films",
            "--tasks: expected --target among the groups of --history, got 'films'",
        ),
        ("--tasks --data nowhere", "nowhere: expected a folder with events.csv, found none"),
    ],
)
def test_faults(flags, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as fault:
        compare.main([*SMALL, *flags.split()])
    assert str(fault.value) in (text, str(tmp_path / text))
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_run(own, tiny):
    with pytest.raises(DataError) as fault:
        command(tiny, own, "--models", "bpr_mf", "--epochs", "3")
    assert str(fault.value) == f"{own}/bpr_mf-0: holds a run with other settings; choose another --out, or remove it"
    (own / "bpr_mf-0" / "config.json").unlink()
    with pytest.raises(DataError, match="bpr_mf-0/config.json: expected the run's settings, as train writes them$"):
        command(tiny, own, "--models", "bpr_mf")


@pytest.mark.parametrize("name, content", [("report.json", "{}"), ("metrics.csv", ""), ("test_scores.npz", "PK")])
def test_a_damaged_run(name, content, own, tiny):
    (own / "bpr_mf-1" / name).write_text(content)
    with pytest.raises(DataError, match=f"^{own}/bpr_mf-1: not a whole run (.*); remove it, and it is trained again$"):
        command(tiny, own, "--models", "bpr_mf", "--seeds", "2")


def test_seeds_that_were_judged_on_other_candidates(own, tiny):
    path = own / "bpr_mf-1" / "test_scores.npz"
    tested = dict(np.load(path))
    tested["candidates"][0, 1] += 1
    np.savez(path, **tested)
    with pytest.raises(DataError, match="^BPR-MF and BPR-MF were judged on different rankings: the data have changed"):
        command(tiny, own, "--models", "bpr_mf", "--seeds", "2")


def test_data_that_have_changed(own, tiny, tmp_path):
    data = shutil.copytree(tiny, tmp_path / "data")
    command(data, tmp_path / "out", "--models", "bpr_mf", "--seeds", "1")
    changes = {
        "events.csv": lambda text: text + "u3,items,click,i1,5000\n",
        "items.csv": lambda text: text.replace(",c1,", ",c2,", 1),
        "schema.toml": lambda text: text.replace("buckets = 6", "buckets = 7", 1),
    }
    for name, change in changes.items():
        before = (data / name).read_text()
        (data / name).write_text(change(before))
        with pytest.raises(DataError, match="bpr_mf-0: the data or their schema have changed since this run; choose another"):
            command(data, tmp_path / "out", "--models", "bpr_mf", "--seeds", "1")
        (data / name).write_text(before)
    command(data, tmp_path / "out", "--models", "bpr_mf", "--seeds", "1")


def test_a_fault_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = process("compare", "--models", "gru")
    assert_fault(result, "--models: expected some of bpr_mf, bilstm, bilstm_attention, cnn, printed, top_n, got 'gru'")
