import numpy as np
import pytest
from helpers import (
    assert_close,
    assert_gradients,
    assert_shapes,
    assert_unchanged,
    literal_feed_forward,
    literal_layer_norm,
    pair_of,
)

from atrank_np.gradcheck import layer_cases

NAMES = ["layer_norm", "feed_forward"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients(layers, name):
    assert_gradients(layers, name)


def test_gradients_without_dropout(layers):
    assert_gradients(layers, "feed_forward", mask=None)


@pytest.mark.parametrize("name", NAMES)
def test_shapes_and_dtypes(layers, name):
    assert_shapes(layers, name)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_unchanged(layers, name):
    assert_unchanged(layers, name)


def test_layer_norm_literally(layers):
    x = np.array([[1.0, 2, 6], [-3, 0, 0], [5, 5, 5]])
    gain, bias = np.array([2.0, -1, 3]), np.array([10.0, 20, 30])
    y, _ = pair_of(layers, "layer_norm")[0](x, gain, bias)
    assert_close(y, literal_layer_norm(x, gain, bias))
    assert y[2].tolist() == bias.tolist()


def test_layer_norm_far_from_zero(layers):
    """E[x²] - E[x]² would have no correct digit left at 10⁸."""
    forward, _ = pair_of(layers, "layer_norm")
    x = np.array([[1.0, 2, 6, 3]])
    assert_close(forward(x + 2.0**27, np.ones(4), np.zeros(4))[0], forward(x, np.ones(4), np.zeros(4))[0])


def test_feed_forward_literally(layers):
    inputs, _ = layer_cases(np.random.default_rng(5))["feed_forward"]
    y, _ = pair_of(layers, "feed_forward")[0](*inputs.values())
    assert_close(y, literal_feed_forward(**inputs))
    assert (inputs["mask"] == 0).any()


def test_no_mask_keeps_everything(layers):
    forward, _ = pair_of(layers, "feed_forward")
    inputs, _ = layer_cases(np.random.default_rng(5))["feed_forward"]
    *others, mask = inputs.values()
    assert forward(*others)[0].tolist() == forward(*others, np.ones_like(mask))[0].tolist()
