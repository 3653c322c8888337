"""The backends that the layer tests run over: name -> the functions by name, equal in name and signature."""

from types import SimpleNamespace

import pytest
from kernel_twins import KERNELS, RECOMPUTED

from atrank_np.made_up import LAYERS

BACKENDS = {"numpy": LAYERS, "numba": KERNELS, "numba, weights computed again": RECOMPUTED}


@pytest.fixture(params=BACKENDS)
def layers(request):
    return SimpleNamespace(**BACKENDS[request.param])
