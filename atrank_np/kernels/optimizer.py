"""numba twins of `optimizer.Rule`: Adam and Adagrad, number by number. rule: context.Rule, or None for SGD."""

from .elementwise import clear, dot
from .embedding import codes_of, owns, row
from .jit import inline, kernel
from .simd import ONE, STRIP, load, root, size, store


@inline
def direction(rule, g, mean, square, i, lanes):  # ., ., [n], [n] -> as g
    """What is subtracted, times the rate, from numbers i, i+1, …, whose gradient is g. Their moments are updated."""
    if rule is None:
        return g
    else:
        g = rule.clipping * g
        m = rule.beta1 * load(mean, i, 0, lanes) + (1.0 - rule.beta1) * g
        s = rule.beta2 * load(square, i, 0, lanes) + rule.gamma * (g * g)
        store(mean, i, 0, m)
        store(square, i, 0, s)
        return m / (rule.correction * root(s) + rule.epsilon)


@inline
def descend(rule, rate, w, g, mean, square):  # ., ., [n], [n], [n], [n]
    """w -= rate times the direction, where the gradient g is not 0. Then g becomes 0: the batch may have the row again."""
    if dot(g, g) != 0:
        j = 0
        while j + size(STRIP) <= len(w):
            store(w, j, 0, load(w, j, 0, STRIP) - rate * direction(rule, load(g, j, 0, STRIP), mean, square, j, STRIP))
            j += size(STRIP)
        while j < len(w):
            store(w, j, 0, load(w, j, 0, ONE) - rate * direction(rule, load(g, j, 0, ONE), mean, square, j, ONE))
            j += 1
    clear(g)


@kernel
def descend_object(rule, share, rate, bias_rate, groups, g, object):
    """The rows of an object of group g, and its item bias, whose gradients are in rule.sums; of these what is in the share."""
    group, sums, means, squares = groups[g], rule.sums[g], rule.means[g], rule.squares[g]
    for c in range(len(group.columns)):
        n, codes = group.columns[c].size, codes_of(group.columns[c], object)
        for i in range(len(codes)):
            if owns(share, codes[i]):
                w, dw = row(group.columns[c].table, codes[i], n), row(sums.columns[c].table, codes[i], n)
                descend(rule, rate, w, dw, row(means.columns[c].table, codes[i], n), row(squares.columns[c].table, codes[i], n))
    if len(group.item_bias) > 0 and owns(share, object):
        o = object + 1
        biases = sums.item_bias[object:o], means.item_bias[object:o], squares.item_bias[object:o]
        descend(rule, bias_rate, group.item_bias[object:o], *biases)
