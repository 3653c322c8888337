"""F_self of (6) and F_vanilla of (7): one hidden layer, then dropout, residual connection and layer normalisation."""

import numpy as np

from .perceptron import linear_backward, linear_forward, perceptron_backward, perceptron_forward

EPSILON = 1e-5  # inside the square root of the layer norm, the usual value; the paper names none


def layer_norm_forward(x, gain, bias):  # [N,D], [D], [D] -> [N,D]
    """Every row to mean 0 and variance 1, then gain and bias.

    The variance is taken in a second pass, over the centred row: E[x²] - E[x]² would cancel for rows far from 0.
    Cache: the normalised rows, 1/deviation, gain; x itself is not needed again.
    """
    centred = x - x.mean(1, keepdims=True)  # F1
    rstd = 1 / np.sqrt((centred**2).mean(1, keepdims=True) + EPSILON)  # F2
    normed = centred * rstd  # F3
    y = normed * gain + bias  # F4
    return y, (normed, rstd, gain)


def layer_norm_backward(dy, cache):  # [N,D] -> [N,D], [D], [D]
    """x reaches a normalised entry by three roads: itself, the row's mean (F1) and the row's deviation (F2)."""
    normed, rstd, gain = cache
    dbias = dy.sum(0)  # B4, by bias
    dgain = (dy * normed).sum(0)  # B4, by gain
    dnormed = dy * gain  # B4, by normed
    mean_road = dnormed.mean(1, keepdims=True)  # B1
    deviation_road = normed * (dnormed * normed).mean(1, keepdims=True)  # B2
    dx = (dnormed - mean_road - deviation_road) * rstd  # B3, with the two other roads
    return dx, dgain, dbias


def feed_forward_forward(x, W1, b1, W2, b2, gain, bias, mask=None):
    # [N,D], [D,H], [H], [H,D], [D], [D], [D], [N,D] -> [N,D]
    """y = LN(x + mask ∘ (relu(x W1 + b1) W2 + b2)), in the order that the text under (6) gives.

    mask: inverted dropout, 0 where a number is dropped and 1/(1 - rate) where it is kept; None keeps everything.
    """
    hidden, hidden_cache = perceptron_forward(x, W1, b1)  # F1
    out, out_cache = linear_forward(hidden, W2, b2)  # F2
    dropped = out if mask is None else mask * out  # F3
    y, norm_cache = layer_norm_forward(x + dropped, gain, bias)  # F4
    return y, (hidden_cache, out_cache, mask, norm_cache)


def feed_forward_backward(dy, cache):  # [N,D] -> [N,D], [D,H], [H], [H,D], [D], [D], [D]
    hidden_cache, out_cache, mask, norm_cache = cache
    dsum, dgain, dbias = layer_norm_backward(dy, norm_cache)  # B4
    dout = dsum if mask is None else mask * dsum  # B3
    dhidden, dW2, db2 = linear_backward(dout, out_cache)  # B2
    dx, dW1, db1 = perceptron_backward(dhidden, hidden_cache)  # B1
    return dx + dsum, dW1, db1, dW2, db2, dgain, dbias  # the residual connection adds dsum
