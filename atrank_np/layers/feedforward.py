"""F_self of (6) and F_vanilla of (7): one hidden layer, then dropout, residual connection and layer normalisation."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats
from .perceptron import LinearCache, PerceptronCache, linear_backward, linear_forward, perceptron_backward, perceptron_forward

EPSILON = 1e-5  # inside the square root of the layer norm, the usual value; the paper names none


class NormCache(NamedTuple):
    normed: Floats  # [N,D], rows with mean 0 and variance 1
    rstd: Floats  # [N,1], 1 / deviation
    gain: Floats  # [D]


class FeedForwardCache(NamedTuple):
    hidden: PerceptronCache
    out: LinearCache
    mask: Floats | None  # [N,D]
    norm: NormCache


def layer_norm_forward(x: Floats, gain: Floats, bias: Floats) -> tuple[Floats, NormCache]:  # [N,D], [D], [D] -> [N,D]
    """Every row to mean 0 and variance 1, then gain and bias.

    The variance is taken in a second pass, over the centred row: E[x²] - E[x]² would cancel for rows far from 0.
    Cache: the normalised rows, 1/deviation, gain; x itself is not needed again.
    """
    centred = x - x.mean(1, keepdims=True)  # F1
    rstd = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + EPSILON)  # F2
    normed = centred * rstd  # F3
    y = normed * gain + bias  # F4
    return y, NormCache(normed, rstd, gain)


def layer_norm_backward(dy: Floats, cache: NormCache) -> tuple[Floats, Floats, Floats]:  # [N,D] -> [N,D], [D], [D]
    """x acts on the output in three ways: directly, through the row's mean (F1) and through its deviation (F2)."""
    normed, rstd, gain = cache
    dbias = dy.sum(0)  # B4, by bias
    dgain = (dy * normed).sum(0)  # B4, by gain
    dnormed = dy * gain  # B4, by normed
    through_mean = dnormed.mean(1, keepdims=True)  # B1
    through_deviation = normed * (dnormed * normed).mean(1, keepdims=True)  # B2
    dx = (dnormed - through_mean - through_deviation) * rstd  # B3, and the sum of the three ways
    return dx, dgain, dbias


def feed_forward_forward(
    x: Floats, W1: Floats, b1: Floats, W2: Floats, b2: Floats, gain: Floats, bias: Floats, mask: Floats | None = None
) -> tuple[Floats, FeedForwardCache]:  # [N,D], [D,H], [H], [H,D], [D], [D], [D], [N,D] -> [N,D]
    """y = LN(x + mask ∘ (relu(x W1 + b1) W2 + b2)), in the order that the text under (6) gives.

    mask: inverted dropout, 0 where a number is dropped and 1/(1 - rate) where it is kept; None keeps everything.
    Cache: x, the hidden layer's output, the weights, the mask and the layer norm's cache.
    """
    hidden, hidden_cache = perceptron_forward(x, W1, b1)  # F1
    out, out_cache = linear_forward(hidden, W2, b2)  # F2
    dropped = out if mask is None else mask * out  # F3
    y, norm_cache = layer_norm_forward(x + dropped, gain, bias)  # F4
    return y, FeedForwardCache(hidden_cache, out_cache, mask, norm_cache)


def feed_forward_backward(
    dy: Floats, cache: FeedForwardCache
) -> tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]:  # [N,D] -> [N,D], [D,H], [H], [H,D], [D], [D], [D]
    hidden_cache, out_cache, mask, norm_cache = cache
    dsum, dgain, dbias = layer_norm_backward(dy, norm_cache)  # B4
    dout = dsum if mask is None else mask * dsum  # B3
    dhidden, dW2, db2 = linear_backward(dout, out_cache)  # B2
    dx, dW1, db1 = perceptron_backward(dhidden, hidden_cache)  # B1
    return dx + dsum, dW1, db1, dW2, db2, dgain, dbias  # the residual connection adds dsum
