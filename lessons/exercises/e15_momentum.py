import numpy as np

from lessons.exercises import Case

TRANSFER = True
TITLE = "momentum on rows that are not in the batch"
TASK = """
With momentum, a step on the whole table w [V,E] with its momentum m [V,E] is, in this order,
    m ← β m + g                          g: the gradient, 0 in rows that are not in the batch
    w ← (1 − rate · λ) w − rate · m
A row that is not in the batch is not written. It is brought up to date later, when it is needed. Write
catch_up(w, m, waited, rate, l2, beta) (about 5 lines):
    w, m [R,E]: R rows as they were when they were last written; waited [R]: how many steps each has missed, 0 or more,
    all of them with g = 0 for this row; l2 is λ, beta is β; rate, l2 and beta were the same in all these steps
    returns w, m as they are after the missed steps
Use no loop over the steps (though no check can see it): some rows have waited for 100,000 steps.
"""
STUB = """\
import numpy as np


def catch_up(w, m, waited, rate, l2, beta):  # [R,E], [R,E], [R], numbers -> [R,E], [R,E]
    # YOUR CODE (about 5 lines)
    ...
"""
HINTS = (
    "Write keep = 1 − rate · λ and do three steps by hand, with w₀ and m₀. In w₃ which powers of keep and β stand before m₀? "
    "They sum to a geometric series.",
    "m = βⁿ m₀. w = keepⁿ w₀ − rate · m₀ · (keepⁿ⁻¹ β + keepⁿ⁻² β² + … + βⁿ), and the sum is β (keepⁿ − βⁿ) / (keep − β). "
    "waited[:, None] makes a column of n.",
)
EXPLAIN = """
Why it is so: what a row misses is linear in w₀ and m₀, so n steps are one step with other factors. Without momentum the factor
is keepⁿ for every row, which is why one scale for the whole table is enough in the lesson. With momentum each row needs to
remember when it was last written. Most libraries do not catch up (SparseAdam in PyTorch lets such rows wait), and
train another model than the dense formula says.
"""


def check(answer, rng):
    for R, E in ((3, 2), (7, 3), (5, 4)):
        w, m = rng.standard_normal((2, R, E))
        rate, l2, beta = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.8)
        waited = rng.permutation(np.arange(R) + (np.arange(R) > R // 2) * 3)  # 0, 1, 2, …
        yours = answer.catch_up(w, m, waited, rate, l2, beta)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 2:
            yield Case("two arrays: w and m. How many came back", came, 2)
            return
        keep = 1 - rate * l2
        right_w, right_m = w.copy(), m.copy()
        for i in range(R):
            for _ in range(waited[i]):
                right_m[i] = beta * right_m[i]
                right_w[i] = keep * right_w[i] - rate * right_m[i]
        n = waited[:, None]
        series = beta * (1 - beta**n) / (1 - beta)
        late = (keep**n - beta**n) / (keep - beta)
        shape = f"[{R},{E}]"
        yield Case(
            f"w {shape}",
            yours[0],
            right_w,
            {
                "the momentum moves a row that is not in the batch": keep**n * w,
                "a move of an earlier step shrinks in the later ones too": keep**n * w - rate * series * m,
                "the momentum has shrunk by β already in the first missed step": keep**n * w - rate * late * m,
                "one step only, whatever the row has waited": keep * w - rate * beta * m,
                "λ is missing": w - rate * series * m,
            },
        )
        yield Case(f"m {shape}", yours[1], right_m, {"one step only": beta * m, "the momentum shrinks by β each step": m})
    yield from long_wait(answer)


def long_wait(answer):
    w, m = answer.catch_up(np.ones((2, 1)), np.ones((2, 1)), np.array([100_000, 0]), 0.1, 0.0, 0.9)
    yield Case("w after 100,000 steps, and after none", w, np.array([[1 - 0.1 * 9], [1]]))
    yield Case("m after 100,000 steps, and after none", m, np.array([[0.0], [1]]))
