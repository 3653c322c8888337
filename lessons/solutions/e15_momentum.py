def catch_up(w, m, waited, rate, l2, beta):  # [R,E], [R,E], [R], numbers -> [R,E], [R,E]
    n = waited[:, None]
    keep = 1 - rate * l2
    moved = beta * (keep**n - beta**n) / (keep - beta)
    return keep**n * w - rate * moved * m, beta**n * m


WRONG = [
    (" - rate * moved * m", "", "no movement"),
    ("beta * (keep**n - beta**n) / (keep - beta)", "beta * (1 - beta**n) / (1 - beta)", "moves do not shrink"),
    ("moved = beta * (keep", "moved = (keep", "β in the first missed step"),
    ("n = waited[:, None]", "n = 1", "one step"),
    ("keep = 1 - rate * l2", "keep = 1.0", "no λ"),
    (", beta**n * m", ", m", "the momentum does not shrink"),
    ("beta**n * m", "beta**n * m, n", "three results"),
]
