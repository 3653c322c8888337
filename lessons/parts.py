"""How the course is read: its parts in order, and shorter routes through it."""

PARTS = {  # name: lessons
    "Behaviours": "00 01 02 03 04 05",
    "Attention": "06 07 08 09",
    "The whole model": "10 11 12 13 14 15",
    "Speed": "17 29",
    "Experiments": "16 18 22 23 24 25 26",
    "Beyond": "19 20 21 27 28",
}
ROUTES = (  # what a reader wants, their lessons
    ("only attention", "02 07 08 09"),
    ("the whole model, from a log to the gradient of every parameter", "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14"),
    ("what a measured number means", "00 16 22 25 26"),
    ("lists of ten for a shop", "13 16 27"),
    ("training fast", "15 17 28 29"),
)


def parts(lessons):
    """(name of the part, its lessons that are there) for each part."""
    return [(name, [number for number in numbers.split() if number in lessons]) for name, numbers in PARTS.items()]


def routes(lessons):
    return [(wish, [number for number in numbers.split() if number in lessons]) for wish, numbers in ROUTES]
