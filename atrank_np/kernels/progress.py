"""What a terminal sees while kernels compile: "compiling 14 of about 86: attention, attend backward"."""

import sys

from numba.core import event


class Progress(event.Listener):
    """One line, rewritten for each function of the package, and erased when the outermost one has been compiled."""

    def __init__(self):
        self.expected = self.count = self.depth = 0

    def _shows(self, found):
        module = found.data["dispatcher"].py_func.__module__ or ""
        return module.startswith(__package__) and sys.stderr.isatty()

    def on_start(self, found):
        if self._shows(found):
            function = found.data["dispatcher"].py_func
            self.count += 1
            self.depth += 1
            name = f"{function.__module__.split('.')[-1]}, {function.__name__.replace('_', ' ')}"
            total = f" of about {self.expected}" if self.count <= self.expected else ""
            self._write(f"compiling {self.count}{total}: {name}")

    def on_end(self, found):
        if self._shows(found):
            self.depth -= 1
            if self.depth == 0:
                self._write("")

    def _write(self, text):
        print(f"\r{text[:78]:<78}" + ("" if text else "\r"), end="", file=sys.stderr, flush=True)


PROGRESS = Progress()
event.register("numba:compile", PROGRESS)
