def bucket4(elapsed, unit, buckets):  # integers -> integer
    digits = (elapsed // unit).bit_length()
    return min((digits + 1) // 2, buckets - 1)


WRONG = [
    ("buckets - 1", "buckets", "one bucket too many"),
    ("min((digits + 1) // 2, buckets - 1)", "(digits + 1) // 2", "last bucket not open"),
    ("(elapsed // unit)", "elapsed", "ticks as units"),
    ("(digits + 1) // 2", "digits // 2", "rounded down"),
    ("(digits + 1) // 2", "digits", "buckets that double"),
    (
        "(elapsed // unit).bit_length()",
        "__import__('math').frexp(elapsed // unit)[1]",
        "the exponent of a float, which is rounded",
    ),
    ("(elapsed // unit)", "int(elapsed / unit)", "a division of floats"),
]
