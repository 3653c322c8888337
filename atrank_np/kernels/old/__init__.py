"""The kernels of the competitors, still in the former design."""
