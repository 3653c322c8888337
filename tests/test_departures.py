"""The list of departures says what the code does."""

from atrank_np import departures
from atrank_np.config import MODELS, PAPER, Config, defaults

LIST = {d.what: d for d in departures.DEPARTURES}


def test_the_defaults_are_those_of_the_list():
    config, here = Config(), lambda what: LIST[what].here
    assert here("learning rate") == str(config.learning_rate) and here("epochs") == str(config.epochs)
    assert here("initial values") == (
        f"matrices {config.dense_init} = 1/√{config.width}, tables {config.table_init}, "
        f"F_vanilla's gain {config.gain_init} (‖e_t‖ about 1)")  # fmt: skip
    assert here("history cap").startswith(f"the last {config.cap} behaviours")
    assert LIST["L2"].paper == "l2-loss weight 5e-5" and config.l2 == PAPER["l2"] == 5e-5
    assert (here("dropout"), config.dropout) == ("0", 0)
    assert (here("clipping"), config.clip) == ("none, but for competitors (below)", 0)
    assert here("negatives").startswith("one for each") and (config.negatives, config.eval_negatives) == (1, 1)


def test_the_competitors_settings_are_those_of_the_list():
    assert LIST["competitors' settings"].here == "rate 0.5, 1.0 for BPR-MF; else the gradients' norm at most 1"
    for model in MODELS.keys() - {"atrank"}:
        config = defaults(model)
        assert (config.learning_rate, config.clip) == ((1.0, 0) if model == "bpr_mf" else (0.5, 1))


def test_the_table_says_first_what_the_paper_has(capsys):
    assert departures.main([]) == 0
    header, _, first, *_ = capsys.readouterr().out.splitlines()
    assert header == "| what | paper | here | otherwise | measured effect |"
    assert first.startswith("| item bias | f = h · e | plus a number per object, as in the authors' code | `--no-item-bias` |")
