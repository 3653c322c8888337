def intensity(N, I, O):  # numbers -> number
    moved = 4 * (N * I + I * O + N * O)
    return 2 * N * I * O / moved


def shortest_time(N, I, O, peak, stream):  # numbers -> number
    operations = 2 * N * I * O
    return max(operations / peak, operations / intensity(N, I, O) / stream)


WRONG = [
    ("4 * (N", "(N", "numbers for bytes"),
    (" + N * O)", ")", "the result"),
    (" + I * O", "", "the matrix"),
    ("max(operations", "min(operations", "the shorter"),
    (
        "return max(operations / peak, operations / intensity(N, I, O) / stream)",
        "return operations / peak + operations / intensity(N, I, O) / stream",
        "the sum",
    ),
    ("return 2 * N", "return N", "one operation"),
]
