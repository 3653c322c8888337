def moments(is_target):  # [E] -> [(end, place, part)]
    places = [place for place in range(len(is_target)) if is_target[place]]
    n = len(places)
    found = []
    for k in range(1, n):
        after = n - 1 - k  # target events after this one
        part = max(2 - after, 0)
        found.append((places[k], places[k], part))
    return found


WRONG = [
    ("found.append((places[k], ", "found.append((k, ", "the history of one group only"),
    ("found.append((places[k], ", "found.append((places[k] + 1, ", "the target in its own history"),
    ("range(1, n)", "range(n)", "the first target event"),
    ("range(1, n)", "range(1, n - 1)", "no test"),
    ("max(2 - after, 0)", "2 * (after == 0)", "no validation"),
    ("max(2 - after, 0)", "max(1 - after, 0)", "parts of a protocol with two"),
    ("if is_target[place]", "if True", "all events as targets"),
]
