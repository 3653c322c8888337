"""The projections of the paper, every F with the letter M, P or Q: F(x) = relu(x W + b)."""

import numpy as np


def linear_forward(x, W, b):  # [N,I], [I,O], [O] -> [N,O]
    """Cache: x and W, both by reference."""
    y = x @ W + b  # F1
    return y, (x, W)


def linear_backward(dy, cache):  # [N,O] -> [N,I], [I,O], [O]
    x, W = cache
    dx = dy @ W.T  # B1, by x
    dW = x.T @ dy  # B1, by W: every row of x adds its outer product
    db = dy.sum(0)  # B1, by b
    return dx, dW, db


def relu_forward(x):  # any shape
    """Cache: the output; where it is positive, the input was."""
    y = np.maximum(x, 0)  # F1
    return y, y


def relu_backward(dy, cache):
    y = cache
    return dy * (y > 0)  # B1: at the kink itself the derivative is taken as 0


def perceptron_forward(x, W, b):  # [N,I], [I,O], [O] -> [N,O]
    """F(x) = relu(x W + b), a projection of (1), (2) and (5)."""
    z, linear_cache = linear_forward(x, W, b)  # F1
    y, relu_cache = relu_forward(z)  # F2
    return y, (linear_cache, relu_cache)


def perceptron_backward(dy, cache):  # [N,O] -> [N,I], [I,O], [O]
    linear_cache, relu_cache = cache
    dz = relu_backward(dy, relu_cache)  # B2
    return linear_backward(dz, linear_cache)  # B1
