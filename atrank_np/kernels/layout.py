"""Where the numbers lie: aligned arrays, named arrays in a flat one, and the order of columns in the kernels."""

import numpy as np

GAP = 64  # bytes between two rows of a workspace
LINE = 64  # bytes of a cache line: a vector that crosses one costs two loads


def aligned(shape, dtype):
    """np.zeros that starts on a cache line."""
    dtype, count = np.dtype(dtype), int(np.prod(shape))
    size = count * dtype.itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def rows(n, D, dtype):  # -> [n, D]
    """Rows of a workspace, with a cache line between them: rows 512 bytes apart compete for few sets of the cache, and the
    product with a transpose reads down the columns."""
    return aligned((n, D + GAP // np.dtype(dtype).itemsize), dtype)[:, :D]


class Flat:
    """Named arrays one after another in one flat array, each on a cache line: `place[name]` is where it starts.

    There may be copies of the array: `spread` brings the others up to date.
    """

    def __init__(self, shapes, dtype, copies=1):
        self.shapes, self.place, end = shapes, {}, 0
        for name, shape in shapes.items():
            self.place[name] = end
            end += -(-int(np.prod(shape)) // LINE) * LINE
        self.copies = aligned((copies, max(end, LINE)), dtype)  # whole strips, even if there is nothing
        self.array = self.copies[0]

    def __getitem__(self, name):
        return self.of(self.array, name)

    def __contains__(self, name):
        return name in self.place

    def of(self, array, name):
        """The part of an array like `self.array` that belongs to a name, as a view."""
        shape = self.shapes[name]
        return array[self.place[name] : self.place[name] + int(np.prod(shape))].reshape(shape)

    def spread(self):
        self.copies[1:] = self.array


class SpaceOrder:
    """The kernels keep the space index innermost: their column j·K + k is number j of space k, our column k·d + j.

    All axes of the common space and of hidden layers are reordered alike, so every formula stays as it is.
    """

    def __init__(self, D, K):
        self.D, self.K, self.columns = D, K, np.arange(D).reshape(K, D // K).T.reshape(-1)
        self.inverse = np.argsort(self.columns)

    def shape(self, name, shape):
        """The shape that the kernels give a parameter: W of (4) becomes one matrix from memory to keys."""
        return (shape[2], self.D) if name in ("self.W", "vanilla.W") else shape

    def to_kernel(self, name, w):
        rows, *_ = shape = self.shape(name, w.shape)
        if shape != w.shape:
            w = w.reshape(self.D, rows).T
        return self._reorder(name, w, self.columns)

    def from_kernel(self, name, w, shape):
        w = self._reorder(name, w, self.inverse)
        return w.T.reshape(shape) if w.shape != shape else w.copy()

    def _reorder(self, name, w, order):
        """Axes that have the length of the common space are in it, but for tables, F_M's rows and states of an LSTM."""
        if name.startswith(("time.", "action.", "number.")) or name.endswith(".U"):
            return w
        if name == "f.W1":  # three blocks of rows
            return w.reshape(3, self.D, self.D)[:, order][:, :, order].reshape(w.shape)
        if w.shape[-1] == self.D:
            w = w[..., order]
        return w[order] if w.ndim == 2 and len(w) == self.D and not name.startswith("F_M.") else w
