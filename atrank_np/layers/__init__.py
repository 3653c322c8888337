"""The mathematics of ATRank in plain NumPy: forward and backward pairs, one file per block. This is THE definition.

Letters, the same in the whole project (shapes, loops and names):
    B  histories (segments) in a batch          N  behaviours in it, all histories packed one after another
    T  targets to be ranked in it               M  rows of a catalogue (its objects)
    D  width of the common space, s_all (1)     V  rows of an embedding table       E  its width
    K  latent spaces (2)                        d  width of one space, s_k = D / K
    n  behaviours of one history                q  queries of one history (n itself, or its targets)

A pair is `name_forward(x, …) -> y, cache` and `name_backward(dy, cache) -> dx, …`. The backward pass returns the
gradients in the order of the forward's array arguments. `dx` is the derivative of the loss by x and has the shape and the
dtype of x. The cache is a value, not a state. It holds references, so its arrays must not be changed before the backward
pass. The forward's lines are numbered F1, F2, …; a backward's line B2 differentiates the line F2.
"""
