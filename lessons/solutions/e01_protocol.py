def moments(is_target):  # [E] -> [(end, place, test)]
    places = [place for place in range(len(is_target)) if is_target[place]]
    found = []
    for k in range(1, len(places)):
        found.append((places[k], places[k], k == len(places) - 1))
    return found


WRONG = [
    ("found.append((places[k], ", "found.append((k, ", "the history of one group only"),
    ("found.append((places[k], ", "found.append((places[k] + 1, ", "the target in its own history"),
    ("range(1, len(places))", "range(len(places))", "the first target event"),
    ("range(1, len(places))", "range(1, len(places) - 1)", "no test"),
    ("k == len(places) - 1", "k != len(places) - 1", "test and training exchanged"),
    ("k == len(places) - 1", "False", "nothing is a test"),
    ("if is_target[place]", "if True", "all events as targets"),
]
