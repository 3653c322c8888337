import itertools

import numpy as np
import pytest

from atrank_np.randomness import PURPOSES, Dropout, dropout_mask, stream


def test_a_stream_is_a_function_of_its_arguments():
    draws = [stream(*arguments).random(4).tolist() for arguments in [(1, "order", 2), (1, "order", 2)]]
    assert draws[0] == draws[1]


def test_streams_differ_in_every_argument():
    arguments = [(0, "order", 0), (1, "order", 0), (0, "negatives", 0), (0, "order", 1), (0, "evaluation negatives")]
    assert len({stream(*a).random() for a in arguments}) == len(arguments)
    assert len(set(PURPOSES.values())) == len(PURPOSES)


def test_an_unknown_purpose_is_refused():
    with pytest.raises(KeyError):
        stream(0, "luck")


def literal_mask(rate, key, layer, shape):
    """splitmix64 with Python's integers, number by number."""
    wrap, mask = 2**64, np.zeros(shape)
    for row, column in np.ndindex(shape):
        z = (key + 0x9E3779B97F4A7C15 * (layer * 2**48 + row * 2**16 + column + 1)) % wrap
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % wrap
        z = (z ^ z >> 27) * 0x94D049BB133111EB % wrap
        uniform = ((z ^ z >> 31) >> 11) / 2**53
        mask[row, column] = 0 if uniform < rate else 1 / (1 - rate)
    return mask


def test_mask_against_the_hash_in_plain_integers():
    for layer, key in itertools.product((0, 1), (0, 12345678901234567, 2**63 - 1)):
        assert dropout_mask(0.3, key, layer, (11, 7), np.float64).tolist() == literal_mask(0.3, key, layer, (11, 7)).tolist()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_values(rate):
    mask = dropout_mask(rate, 42, 0, (1000, 100), np.float64)
    assert set(np.unique(mask)) == {0, 1 / (1 - rate)}
    deviation = np.sqrt(rate * (1 - rate) / mask.size)
    assert abs((mask == 0).mean() - rate) < 4 * deviation
    assert abs(mask.mean() - 1) < 4 * deviation / (1 - rate)  # inverted: kept on average
    for axis in (0, 1):
        of_a_line = (mask == 0).mean(axis)
        assert of_a_line.std() < 1.3 * np.sqrt(rate * (1 - rate) / mask.shape[axis])


def test_independence_of_steps_layers_seeds_rows_and_columns():
    def dropped(seed, step, layer):
        return Dropout(0.5, seed, step).mask(layer, (300, 100), np.float32) == 0

    base = dropped(0, 0, 0)
    others = [dropped(1, 0, 0), dropped(0, 1, 0), dropped(0, 0, 1), np.roll(base, 1, 0), np.roll(base, 1, 1)]
    for other in others:
        assert abs((base == other).mean() - 0.5) < 4 * 0.5 / np.sqrt(base.size)


def test_a_mask_can_be_made_again_in_parts():
    dropout = Dropout(0.3, 7, 11)
    whole = dropout.mask(1, (20, 6), np.float32)
    assert whole.dtype == np.float32
    assert whole.tolist() == Dropout(0.3, 7, 11).mask(1, (20, 6), np.float32).tolist()
    assert whole[:9].tolist() == dropout.mask(1, (9, 6), np.float32).tolist()


def test_rate_0_keeps_everything():
    assert (dropout_mask(0.0, 5, 0, (50, 20), np.float64) == 1).all()
