"""The backends that the layer tests run over: name -> the functions by name, equal in name and signature; and tiny data."""

import signal
from types import SimpleNamespace

import pytest
from kernel_twins import KERNELS, RECOMPUTED
from runs import run_train, write_tiny

from atrank_np import training_runs
from atrank_np.config import MODELS
from atrank_np.datasets import shop
from atrank_np.gradcheck import LAYERS

# A shell lets what it starts with & ignore Ctrl-C, and Python leaves that as it is: then nothing would be stopped.
signal.signal(signal.SIGINT, signal.default_int_handler)

BACKENDS = {"numpy": LAYERS, "numba": KERNELS, "numba, weights computed again": RECOMPUTED}


@pytest.fixture(params=BACKENDS)
def layers(request):
    return SimpleNamespace(**BACKENDS[request.param])


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A tiny data folder, not to be written to."""
    return write_tiny(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="session")
def noise(tmp_path_factory):
    """The folder of the simulated shop's noise twin, not to be written to."""
    folder = tmp_path_factory.mktemp("noise")
    shop.main(["--out", str(folder), "--noise"])
    return folder


@pytest.fixture(scope="session")
def trained_run(tiny, tmp_path_factory):
    """The folder of a short run on the tiny data, not to be written to."""
    return run_train(tiny, tmp_path_factory.mktemp("runs") / "trained")


@pytest.fixture(scope="session", params=[model for model in MODELS if model != "atrank"])
def competitor_run(request, tiny, tmp_path_factory):
    """The same of each other model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_runs, "draw_curve", lambda *_: None)
        out = tmp_path_factory.mktemp("runs") / request.param
        return run_train(tiny, out, "--model", request.param, "--backend", "numpy")
