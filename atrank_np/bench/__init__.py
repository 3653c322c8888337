"""Measures speed and memory, beside PyTorch's where it is installed: `python -m atrank_np.bench [--quick]`.

Machines differ and are noisy, so contenders take turns, A B A B, each in a process of its own; a ratio is the median of
those pairs. Before a time is taken, all must give the same scores, at the start and after a few training steps.
"""
