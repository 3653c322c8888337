"""What is wrong with an answer, in words: comparisons that fail, and what explains all of them."""

import re

import numpy as np

from atrank_np.gradcheck import likely_cause, relative_error

LIMIT = 1e-6  # of the array's largest entry: ten times what a numeric derivative may be wrong by
LINES = 4  # as many quantities are shown


def numbers(value):
    """As an array; None if it is not one of numbers."""
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None


def agree(a, b):
    return a.shape == b.shape and relative_error(a, b) <= LIMIT  # False for NaN


def complaint(case):
    """One line on a case that is wrong, None on one that is right."""
    yours, expected = numbers(case.yours), numbers(case.expected)
    if yours is None:
        return f"{case.name}: expected numbers, got {type(case.yours).__name__}"
    if yours.shape != expected.shape:
        return f"{case.name}: expected the shape {list(expected.shape)}, got {list(yours.shape)}"
    if agree(yours, expected):
        return None
    worst = np.unravel_index(np.abs(yours - expected).argmax(), yours.shape)
    place = f" at {list(map(int, worst))}" if worst else ""
    return f"{case.name}{place}: yours {yours[worst]:.6g}, expected {expected[worst]:.6g}"


def quantity(case):
    """What is compared, without the sizes: `dx [5,7]` and `dx [1,3]` are one quantity, so are losses of 5 and 7 targets."""
    return re.sub(r"(?<![A-Za-z_])\d[\d.]*(, ?\d[\d.]*)*", "n", case.name)


def degenerate(case):
    """So small that different mistakes look the same: a number, a single row or column."""
    return np.size(case.expected) == 1 or 1 in np.shape(case.expected)


def report(cases):
    """A line for each quantity that is wrong, what explains them, and how many comparisons are wrong."""
    wrong = [case for case in cases if complaint(case)]
    shown = {}
    for case in sorted(wrong, key=degenerate):
        shown.setdefault(quantity(case), complaint(case))
    lines = [shown[name] for name in dict.fromkeys(map(quantity, wrong))][:LINES]
    causes = [f"Likely cause: {cause}" for cause in explain(cases, wrong)]
    return "\n".join([*lines, *causes, f"{len(wrong)} of {len(cases)} comparisons are wrong"])


def explain(cases, wrong):
    """The causes of the wrong cases, each once. One that is named by a case must fit all wrong cases that name it.

    If there is none, a guess for each quantity. A cause that only degenerate cases show is not told, unless the quantity has
    no others.
    """
    left = [case for case in wrong if numbers(case.yours) is not None and np.shape(case.yours) == np.shape(case.expected)]
    named = []
    for words in dict.fromkeys(words for case in left for words in case.causes):
        fits = [case for case in left if words in case.causes and np.isfinite(numbers(case.causes[words])).all()]
        if fits and all(agree(numbers(case.yours), numbers(case.causes[words])) for case in fits) and tells(fits, cases):
            left = [case for case in left if not any(case is one for one in fits)]
            named.append(words)
    return named or guesses(left, cases, several=len(set(map(quantity, wrong))) > 1)


def guesses(wrong, cases, several):
    """What the wrong cases of a quantity have in common, in words. several: the words need the names of their quantities."""
    quantities, where = {}, {}
    for case in wrong:
        quantities.setdefault(quantity(case), []).append(case)
    for name, some in quantities.items():
        if (words := guess(some)) and tells(some, cases):
            where.setdefault(words, []).append(re.sub(r" *[\[(,].*", "", name))
    return [words + (f" ({', '.join(names)})" if several else "") for words, names in where.items()]


def tells(some, cases):
    """Whether these wrong cases are enough to name a cause."""
    names = set(map(quantity, some))
    return not all(map(degenerate, some)) or all(degenerate(case) for case in cases if quantity(case) in names)


def guess(some):
    """For the wrong cases of one quantity; None if they have nothing in common."""
    yours = np.concatenate([numbers(case.yours).ravel() for case in some])
    expected = np.concatenate([numbers(case.expected).ravel() for case in some])
    cause = likely_cause(yours, expected) if np.ptp(expected) > 0 else ""  # all entries of all cases as one array
    if re.match("ratio|not finite|analytic 0|numeric 0", cause):
        return cause
    tables = [case for case in some if np.ndim(case.expected) == 2 and not degenerate(case)]
    each = {likely_cause(numbers(case.yours), numbers(case.expected)) for case in tables}
    each = {re.sub("^ratio .*: perhaps", "perhaps", re.sub("^only rows .* are", "some rows are", cause)) for cause in each}
    return each.pop() if len(each) == 1 and re.match("perhaps|some rows|transposed", *each) else None
