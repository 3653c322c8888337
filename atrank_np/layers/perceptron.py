"""The projections of the paper, every F with the letter M, P or Q: F(x) = relu(x W + b)."""

from typing import NamedTuple

import numpy as np

from ..arrays import Floats


class LinearCache(NamedTuple):
    x: Floats  # [N,I]
    W: Floats  # [I,O]


class PerceptronCache(NamedTuple):
    linear: LinearCache
    y: Floats  # [N,O], the output of the relu


def linear_forward(x: Floats, W: Floats, b: Floats) -> tuple[Floats, LinearCache]:  # [N,I], [I,O], [O] -> [N,O]
    """y = x W + b. Cache: x and W."""
    y = x @ W + b  # F1
    return y, LinearCache(x, W)


def linear_backward(dy: Floats, cache: LinearCache) -> tuple[Floats, Floats, Floats]:  # [N,O] -> [N,I], [I,O], [O]
    x, W = cache
    dx = dy @ W.T  # B1, by x
    dW = x.T @ dy  # B1, by W: the sum of the rows' outer products
    db = dy.sum(0)  # B1, by b
    return dx, dW, db


def relu_forward(x: Floats) -> tuple[Floats, Floats]:  # [...] -> [...]
    """y = max(x, 0). Cache: the output; it is positive exactly where the input was."""
    y = np.maximum(x, 0)  # F1
    return y, y


def relu_backward(dy: Floats, cache: Floats) -> Floats:  # [...] -> [...]
    y = cache
    return dy * (y > 0)  # B1: at the kink itself the derivative is taken as 0


def perceptron_forward(x: Floats, W: Floats, b: Floats) -> tuple[Floats, PerceptronCache]:  # [N,I], [I,O], [O] -> [N,O]
    """F(x) = relu(x W + b), a projection of (1), (2) and (5). Cache: x, W and the output."""
    z, linear_cache = linear_forward(x, W, b)  # F1
    y, relu_cache = relu_forward(z)  # F2
    return y, PerceptronCache(linear_cache, relu_cache)


def perceptron_backward(dy: Floats, cache: PerceptronCache) -> tuple[Floats, Floats, Floats]:  # [N,O] -> [N,I], [I,O], [O]
    linear_cache, relu_cache = cache
    dz = relu_backward(dy, relu_cache)  # B2
    return linear_backward(dz, linear_cache)  # B1
