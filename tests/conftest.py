"""The backends of the layer tests: name -> functions by name, with equal names and signatures. And tiny data."""

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from kernel_twins import KERNELS, RECOMPUTED
from runs import run_train, write_tiny
from small_models import a_model_as_it_starts

from atrank_np import training_runs
from atrank_np.config import MODELS
from atrank_np.datasets import shop
from atrank_np.evaluation import attention
from atrank_np.evaluation.attention import DAY
from atrank_np.gradcheck import LAYERS
from atrank_np.runs.folder import open_run

# A process that a shell starts with & ignores Ctrl-C, and Python does not change that: then Ctrl-C would stop nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

BACKENDS = {"numpy": LAYERS, "numba": KERNELS, "numba, weights computed again": RECOMPUTED}


@pytest.fixture(params=BACKENDS)
def layers(request):
    return SimpleNamespace(**BACKENDS[request.param])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A tiny data folder. Tests must not write to it."""
    return write_tiny(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """The folder of the simulated shop's noise twin. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("noise")
    shop.main(["--out", str(folder), "--noise"])
    return folder


@pytest.fixture(scope="session")
def trained_run(tiny, tmp_path_factory):
    """The folder of a short run on the tiny data. Tests must not write to it."""
    return run_train(tiny, tmp_path_factory.mktemp("runs") / "trained")


@pytest.fixture(scope="session", params=[model for model in MODELS if model != "atrank"])
def competitor_run(request, tiny, tmp_path_factory):
    """The folder of such a run, for each other model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_runs, "draw_curve", lambda *_: None)
        out = tmp_path_factory.mktemp("runs") / request.param
        return run_train(tiny, out, "--model", request.param, "--backend", "numpy")


@pytest.fixture
def no_picture(monkeypatch):
    monkeypatch.setattr(training_runs, "draw_curve", lambda *_: None)


@pytest.fixture(scope="session")
def opened(trained_run):
    """Model and log of the run of `trained_run`. Tests must not change them."""
    trained, log, _ = open_run(trained_run)
    return trained, log


@pytest.fixture
def in_days(tmp_path):
    """An untrained model and one user: b after a, and c after a and b, are training samples, and d is the test."""
    return a_model_as_it_starts(tmp_path)


@pytest.fixture
def two_targets(in_days):
    """The Inside of two targets of one history, and the effects of its behaviours, which differ between them."""
    trained, log = in_days
    insides = [attention.look_inside(trained, log, "u", target=name, at=12 * DAY) for name in "fg"]
    return insides, np.array([attention.left_out(trained, inside.batch)[:, 0] for inside in insides])
