"""Measures speed and memory, and those of PyTorch if it is installed: `python -m atrank_np.bench [--quick]`.

Machines differ and are noisy. So contenders take turns, A B A B, each in a process of its own, and a ratio is the median over
pairs of turns. Before anything is timed, all must give the same scores, at the start and after a few training steps.
"""
