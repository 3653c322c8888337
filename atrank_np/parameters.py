"""Parameters are a dict of name -> ndarray. What a parameter is can be read off its name, here and nowhere else."""


def kind(name):
    """"table": embedding, time or action table. "item bias": a number per object. "weight", "bias", "gain": of a layer."""
    if name.startswith(("table.", "time.", "action.")):
        return "table"
    if name.startswith("bias."):
        return "item bias"
    last = name.rsplit(".", 1)[1]
    return "gain" if last == "gain" else "bias" if last.startswith("b") else "weight"


def has_unknown(name):
    """Row 0 of this parameter belongs to `unknown`: it is zero and never trained."""
    return name.startswith(("table.", "bias."))


def is_decayed(name):
    """Weight matrices and whole tables are decayed; biases, gains and the item bias are not."""
    return kind(name) in ("weight", "table")
