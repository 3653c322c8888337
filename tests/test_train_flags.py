"""The flags of train, and the settings that they stand for."""

import json
from dataclasses import replace

import numpy as np
import pytest
from runs import (
    run_train,
)

from atrank_np import train, train_flags
from atrank_np.config import Config
from atrank_np.errors import DataError
from atrank_np.runs.checkpoint import load


def test_features_history_and_target(tiny, tmp_path, no_picture):
    flags = ["--features", "category,words", "--history", "items", "--target", "queries,queries", "--embedding-size", "3"]
    trained = load(run_train(tiny, tmp_path / "run", *flags))
    assert [[f.name for f in group.features] for group in trained.schema.groups] == [["category"], ["words"]]
    assert (trained.schema.history, trained.schema.targets) == (("items",), ("queries",))
    assert trained.params["table.words"].shape[1] == 3


def test_only_a_model_with_spaces_divides_its_width():
    assert Config(model="cnn", width=10, spaces=8).width == 10
    with pytest.raises(ValueError, match="^`width` 10 does not divide into 8 equal spaces$"):
        Config(model="bilstm_attention", width=10, spaces=8)


def test_the_papers_numbers(tiny, tmp_path, no_picture):
    config, tables = {}, {}
    for name, flags in {"paper": ["--batch-size", "32"], "beside": ["--learning-rate", "0.3", "--embedding-size", "5"]}.items():
        trained = load(run_train(tiny, tmp_path / name, "--paper", *flags))
        config[name], tables[name] = trained.config, trained.params["table.words"].shape[1]
    paper = config["paper"]
    assert (paper.learning_rate, paper.decay, paper.l2, paper.batch_size, paper.item_bias) == (1.0, 0.1, 5e-5, 32, False)
    assert (paper.variant, paper.width, paper.spaces, paper.epochs) == ("printed", 8, 2, 2)  # flags beside --paper win
    assert config["beside"] == replace(paper, learning_rate=0.3, batch_size=8)
    assert tables == {"paper": 64, "beside": 5}
    for flags, *defining in (("--model bpr_mf", "", "pair", 5e-5), ("--variant activation_l2", "activation_l2", "point", 0.0)):
        _, config = train_flags.settings(train_flags.parse(["--paper", *flags.split()]))
        assert [config.variant, config.loss, config.l2] == defining and not config.item_bias


def test_a_flag_beside_the_model_wins(tiny, tmp_path, no_picture):
    flags = ["--model", "bpr_mf", "--backend", "numpy", "--epochs", "1"]
    assert load(run_train(tiny, tmp_path / "run", *flags, "--loss", "point")).config.loss == "point"


FAULTS = {
    "--epochs x": "argument --epochs: invalid int value: 'x' (see python -m atrank_np.train --help)",
    "--epochs 0": "`epochs` must be at least 1, not 0",
    "--nonsense": "unrecognized arguments: --nonsense (see python -m atrank_np.train --help)",
    "--model gru": "argument --model: invalid choice: 'gru'",
    "--model bpr_mf --ranking deep": "bpr_mf ranks by the product of user and object: `ranking` must be 'dot'",
    "--ranking cosine": "argument --ranking: invalid choice: 'cosine'",
    "--width 10 --spaces 3": "`width` 10 does not divide into 3 equal spaces",
    "--batch-size 7": "`batch_size` 7 must be a multiple of 2, a positive and its negatives: 32 are 16 histories",
    "--negatives 127": "`batch_size` 32 must be a multiple of 128, a positive and its negatives: 2048 are 16 histories",
    "--dropout 1": "`dropout` must be in [0, 1), not 1.0",
    "--learning-rate nan": "`learning_rate` must be a number of at least 0, not nan",
    "--table-rate -1": "`table_rate` must be a number of at least 0, not -1.0",
    "--optimizer rmsprop": "argument --optimizer: invalid choice: 'rmsprop'",
    "--l2 0.2": "the highest learning rate times l2 must be below 0.05, not 0.1: a step takes that share of a weight away",
    "--decay 0": "`decay` must be above 0, not 0.0",
    "--seed -1": "argument --seed: expected at least 0, got -1 (see python -m atrank_np.train --help)",
    "--eval-seed -1": "argument --eval-seed: expected at least 0, got -1 (see python -m atrank_np.train --help)",
    "--cap 0": "`cap` must be at least 1, not 0",
    f"--shards {10**24}": f"`shards` must be below 2^31, not {10**24}",
    f"--batch-size {2**31}": f"`batch_size` must be below 2^31, not {2**31}",
    "--embedding-size 0": "`embedding_size`: expected at least 1, got 0",
    "--features color": "`features`: expected features among object, category, price, words, got 'color'",
    "--history shops": "`history` and `target`: expected groups among items, queries, got 'shops'",
    "--target": "argument --target: expected one argument (see python -m atrank_np.train --help)",
}


@pytest.mark.parametrize("flags", FAULTS)
def test_faulty_flags(flags, tiny, tmp_path):
    with pytest.raises(DataError) as fault:
        train.main(["--data", str(tiny), "--out", str(tmp_path / "run"), *flags.split()])
    assert str(fault.value).startswith(FAULTS[flags])
    assert list(tmp_path.iterdir()) == []


def test_settings_that_no_run_can_have():
    assert Config(epochs=np.int32(3), clip=np.float32(1)) == Config(epochs=3, clip=1.0)
    assert json.loads(json.dumps(Config(seed=np.int64(3)).to_dict()))["seed"] == 3
    for name, value, what in (("epochs", 2.5, "whole number"), ("seed", "1", "whole number"), ("l2", "small", "number")):
        with pytest.raises(ValueError, match=f"^`{name}` must be a {what}, not {value!r}$"):
            Config(**{name: value})
    with pytest.raises(ValueError, match="^the highest learning rate times l2 must be below 0.05, not 0.09"):
        Config(learning_rate=0.01, decay=9, l2=1)


def test_help_tells_no_default_of_a_switch(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = capsys.readouterr().out
    assert "(default: 20)" in text and "(default: True)" not in text and "(default: )" not in text
