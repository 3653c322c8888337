import numpy as np

from lessons.exercises import Case

TITLE = "RMSprop on rows: lazy, and exact all the same"
TRANSFER = True
TASK = """
RMSprop, for each number, in each step:   s <- b s + (1 - b) g²      w <- w - rate · g / (√s + 1e-8)
Rows without a gradient have g = 0: their w stays, but their s shrinks in every step. Write lazy(w, square, last, ids, g, step,
rate, b) (about 7 lines) that touches only the rows of the batch, and still gives w as if every row had been done in every step.
    w, square  [V,E]  as they were left       last  [V]  for each row the step at which it was brought up to date, 0 at the start
    ids  [R]  sorted, each once               g  [R,E]  the gradients of these rows
    step: the number of this step, 1, 2, …    rate, b: numbers
    returns a tuple of new arrays: w, square, last. In all three, only the rows ids may differ from the old ones.
"""
STUB = """\
import numpy as np


def lazy(w, square, last, ids, g, step, rate, b):  # [V,E], [V,E], [V], [R], [R,E] -> [V,E], [V,E], [V]
    # YOUR CODE (about 7 lines)
    ...
"""
HINTS = (
    "A row that was left at step 4 and is visited at step 7 has missed steps 5 and 6. In each its s was multiplied by b. "
    "The step 7 itself then multiplies once more and adds the square.",
    "missed = step - last[ids] - 1; s = b ** missed[:, None] * square[ids]; s = b s + (1 - b) g²; then w, and last[ids] = step. "
    "Copy the three arrays before you write.",
)
EXPLAIN = """
Why it is so: without momentum a missed step does one thing to a row, and k of them are one power: b^k. Adam's missed steps also
move w, by a sum of quotients that has no short form. So RMSprop's rows can wait and be exact, Adam's cannot. The price is one
integer for each row. It is lesson 15's idea again: what happens to all rows alike is kept in a number, and done when needed.
"""


def dense(V, E, steps, rate, b, start):
    w, square = start.copy(), np.zeros((V, E))
    for ids, g in steps:
        whole = np.zeros((V, E))
        whole[ids] = g
        for i in range(V):
            for e in range(E):
                square[i, e] = b * square[i, e] + (1 - b) * whole[i, e] ** 2
                w[i, e] -= rate * whole[i, e] / (square[i, e] ** 0.5 + 1e-8)
    return w, square


def check(answer, rng):
    for V, E, T in ((2, 1, 2), (5, 3, 9), (7, 2, 14)):
        b, rate, start = rng.uniform(0.5, 0.9), rng.uniform(0.1, 1), rng.standard_normal((V, E))
        steps = []
        for _ in range(T):
            ids = np.sort(rng.permutation(V)[: rng.integers(1, 1 + V // 2)])
            steps.append((ids, rng.standard_normal((len(ids), E))))
        w, square, last = start, np.zeros((V, E)), np.zeros(V, int)
        waits_w, waits = start.copy(), np.zeros((V, E))
        for step, (ids, g) in enumerate(steps, 1):
            yours = answer.lazy(w, square, last, ids, g, step, rate, b)
            came = len(yours) if isinstance(yours, tuple) else 1
            if came != 3:
                yield Case("a tuple of three: w, square, last. How many came back", came, 3)
                return
            others = np.setdiff1d(np.arange(V), ids)
            for name, old, new in zip(("w", "square", "last"), (w, square, last), yours):
                if np.shape(new) != np.shape(old):
                    yield Case(name, new, old)
                    return
                yield Case(f"rows of {name} that no id names, step {step}", np.asarray(new)[others], old[others])
            w, square, last = map(np.asarray, yours)
            waits[ids] = b * waits[ids] + (1 - b) * g**2
            waits_w[ids] = waits_w[ids] - rate * g / (np.sqrt(waits[ids]) + 1e-8)
        wanted, whole_square = dense(V, E, steps, rate, b, start)
        causes = {"square has waited: it must shrink by b for each missed step": waits_w}
        if relative(waits_w, wanted) < 1e-3:
            causes = {}  # no row has missed a step in this draw
        yield Case(f"w after {T} steps [{V},{E}]", w, wanted, causes)
        seen = np.array([max((t for t, (ids, _) in enumerate(steps, 1) if i in ids), default=0) for i in range(V)])
        yield Case("last", last, seen)
        up_to_date = square * b ** (T - seen)[:, None]
        yield Case(f"square, brought up to step {T}", up_to_date, whole_square)


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()
