"""The list of departures says what the code does."""

import pytest

from atrank_np import departures
from atrank_np.config import MODELS, PAPER, VARIANTS, Config, defaults
from atrank_np.departures import __main__ as command
from atrank_np.errors import DataError
from atrank_np.train_flags import parse, settings

LIST = {d.what: d for d in departures.DEPARTURES}


def test_the_defaults_are_those_of_the_list():
    config = Config()

    def here(what):
        return LIST[what].here

    assert here("learning rate") == str(config.learning_rate) and here("epochs") == str(config.epochs)
    assert here("initial values") == (
        f"matrices {config.dense_init} = 1/√{config.width}, tables {config.table_init}, "
        f"F_vanilla's gain {config.gain_init} (‖e_t‖ about 1)"
    )
    assert here("history cap").startswith(f"the last {config.cap} behaviours")
    assert LIST["L2"].paper == "l2-loss weight 5e-5" and config.l2 == PAPER["l2"] == 5e-5
    assert (here("dropout"), config.dropout) == ("0", 0)
    assert (here("clipping"), config.clip) == ("none, except for competitors (below)", 0)
    assert here("negatives").startswith("one for each") and (config.negatives, config.eval_negatives) == (1, 1)


def test_the_competitors_settings_are_those_of_the_list():
    assert LIST["competitors' settings"].here == "rate 0.5, 1.0 for BPR-MF; gradients clipped at norm 1, except for BPR-MF"
    for model in MODELS.keys() - {"atrank"}:
        config = defaults(model)
        assert (config.learning_rate, config.clip) == ((1.0, 0) if model == "bpr_mf" else (0.5, 1))


def test_the_table_says_first_what_the_paper_has():
    header, _, first, *_ = departures.tables()["Departures from the paper"].splitlines()
    assert header == "| what | paper | here | otherwise | measured effect |"
    assert first.startswith("| item bias | f = h · e | plus a number per object, as in the authors' code | `--no-item-bias` |")


def test_lines_fit_a_terminal_and_lose_no_word(capsys, monkeypatch):
    for width in (50, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        assert command.main([]) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= width
        for entry in (*departures.DEPARTURES, *departures.AUTHORS):
            assert all("".join(part.split()) in "".join(text.split()) for part in entry)


def test_one_departure_by_name(capsys):
    assert command.main(["Epochs"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["Departures from the paper", "", "  epochs"]
    assert command.main(["--names"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert "epochs" in names and "scores (the authors' code)" in names
    with pytest.raises(DataError, match="no departure is called 'epoks'"):
        command.main(["epoks"])


def test_what_the_authors_code_does_otherwise():
    """Each change has a flag that train knows, and each variant of their code is there."""
    flags = [flag for change in departures.AUTHORS for flag in change.flag.split(", ")]
    assert all(settings(parse(flag.split())) for flag in flags)
    theirs = VARIANTS.keys() - {"", "printed", "no_self_attention", "no_time", "continuous_time"}
    assert {f"--variant {name}" for name in theirs} <= set(flags)
    text = departures.tables()["What the authors' code does otherwise"]
    assert text.count("\n") == len(departures.AUTHORS) + 1 and text.count(" ± ") >= len(theirs)
