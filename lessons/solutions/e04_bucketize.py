def bucket(elapsed, unit, buckets):  # integers -> integer
    units = elapsed // unit
    return min(units.bit_length(), buckets - 1)


WRONG = [
    ("buckets - 1", "buckets", "one bucket too many"),
    ("min(units.bit_length(), buckets - 1)", "units.bit_length()", "last bucket not open"),
    ("elapsed // unit", "elapsed", "ticks as units"),
    ("units.bit_length()", "max(units.bit_length() - 1, 0)", "off by one"),
    ("units.bit_length()", "(int(__import__('math').log2(units)) + 1 if units else 0)", "a logarithm"),
    ("units.bit_length()", "max(units - 1, 0).bit_length()", "edges on the wrong side"),
    ("elapsed // unit", "int(elapsed / unit)", "a division of floats"),
    ("units.bit_length()", "__import__('math').frexp(units)[1]", "the exponent of a float, which is rounded"),
]
