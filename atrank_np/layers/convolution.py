"""Convolution over time and max pooling, for the CNN competitor: in which window of w behaviours is a pattern strongest?

F: feature maps (patterns) of one window size. P: places of the window, in all histories.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats, Ints
from .perceptron import PerceptronCache, perceptron_backward, perceptron_forward


class ConvolutionCache(NamedTuple):
    x_shape: tuple[int, int]  # (N, D)
    W_shape: tuple[int, int, int]  # (w, D, F)
    rows: Ints  # [P,w], the behaviours in each window
    place_offsets: Ints  # [B+1], each history's places
    perceptron: PerceptronCache
    best: Ints  # [B,F], the place of each maximum


def windows(offsets: Ints, w: int) -> tuple[Ints, Ints]:  # [B+1] -> [P,w], [B+1]
    """The rows in each window, and the offsets of each history's places: the n - w + 1 places inside the history.

    A history that is shorter than the window has one place. Its missing behaviours are row N, the row after the last. An empty
    history has no place.
    """
    length = np.diff(offsets)
    count = np.where(length > 0, np.maximum(length - w + 1, 1), 0)
    place_offsets = np.concatenate([[0], np.cumsum(count)])
    history = np.repeat(np.arange(len(length)), count)
    start = np.arange(len(history)) - place_offsets[history] + offsets[history]
    rows = start[:, None] + np.arange(w)
    return np.where(rows < offsets[history + 1][:, None], rows, offsets[-1]), place_offsets


def convolution_forward(
    x: Floats, W: Floats, b: Floats, offsets: Ints
) -> tuple[Floats, ConvolutionCache]:  # [N,D], [w,D,F], [F], [B+1] -> [B,F]
    """max over the places p of a history of relu(Σ_j x_{p+j} W_j + b); zeros for an empty history.

    Cache: the windows laid out as rows (w times the size of x), the perceptron's, and where the maxima are.
    """
    w, D, F = W.shape
    rows, place_offsets = windows(offsets, w)
    padded = np.concatenate([x, np.zeros((1, D), x.dtype)])
    laid_out = padded[rows].reshape(len(rows), w * D)  # F1
    z, perceptron_cache = perceptron_forward(laid_out, W.reshape(w * D, F), b)  # F2
    y, best = np.zeros((len(offsets) - 1, F), x.dtype), np.zeros((len(offsets) - 1, F), int)
    for h in np.flatnonzero(np.diff(place_offsets)):
        first, last = place_offsets[h : h + 2]
        best[h] = first + z[first:last].argmax(0)  # the first of equal maxima
        y[h] = z[best[h], np.arange(F)]  # F3
    return y, ConvolutionCache((len(x), D), (w, D, F), rows, place_offsets, perceptron_cache, best)


def convolution_backward(dy: Floats, cache: ConvolutionCache) -> tuple[Floats, Floats, Floats]:  # [B,F] -> [N,D], [w,D,F], [F]
    (N, D), W_shape, rows, place_offsets, perceptron_cache, best = cache
    dz = np.zeros((len(rows), W_shape[2]), dy.dtype)
    some = np.flatnonzero(np.diff(place_offsets))
    dz[best[some], np.arange(W_shape[2])] = dy[some]  # B3: the gradient flows only to the maximum
    dlaid_out, dW, db = perceptron_backward(dz, perceptron_cache)  # B2
    dx = np.zeros((N + 1, D), dy.dtype)
    np.add.at(dx, rows, dlaid_out.reshape(*rows.shape, D))  # B1: windows overlap, so the gradients of a behaviour add up
    return dx[:N], dW.reshape(W_shape), db
