"""What the authors' code does otherwise than this project."""

from typing import NamedTuple


class Change(NamedTuple):
    """One change from the defaults to what the authors' code does."""

    what: str
    authors: str
    flag: str  # of train
    effect: str  # on the validation AUC (see the package's docstring)


# One change at a time, as in `compare --validate --epochs 10 --variants scaled_scores,…`.
AUTHORS = (
    Change(
        "scores",
        "1/√d times the product of two relu projections, not bilinear",
        "--variant scaled_scores",
        "-0.0020 ± 0.0010 (-0.0024, -0.0030, -0.0007)",
    ),
    Change(
        "time",
        "a one-hot of the bucket beside the embedding, not a sum (and 12 buckets)",
        "--variant time_concat",
        "-0.0027 ± 0.0010 (-0.0030, -0.0018, -0.0034)",
    ),
    Change("F_M", "a dense layer without relu", "--variant linear_projection", "-0.0032 ± 0.0012 (-0.0028, -0.0055, -0.0013)"),
    Change(
        "around the attention",
        "a residual and a layer norm there too; F_self and F_vanilla of a quarter of the width",
        "--variant attention_residual",
        "+0.0072 ± 0.0011 (+0.0078, +0.0053, +0.0084)",
    ),
    Change(
        "target",
        "q_t instead of h_t, in the vanilla attention and in f",
        "--variant raw_query",
        "-0.0097 ± 0.0014 (-0.0073, -0.0102, -0.0115)",
    ),
    Change(
        "L2",
        "on user vector and target, summed over the batch, not on weights",
        "--variant activation_l2",
        "-0.0052 ± 0.0011 (-0.0053, -0.0050, -0.0054)",
    ),
    Change("item bias", "one, as in this project", "--no-item-bias", "above"),
    Change("clipping", "the gradients' norm at 5", "--clip 5", "-0.0004 ± 0.0006 (+0.0010, 0, -0.0021)"),
    Change("learning rate", "1.0, then 0.1 in one step", "--learning-rate 1, --schedule step", "above"),
    Change("negatives", "drawn once, before the first epoch", "--negatives-once", "above"),
    Change(
        "all of these",
        "except the 12 buckets",
        "--variant authors",
        "-0.0204 ± 0.0017 (-0.0186, -0.0182, -0.0245): 0.7988, 0.8024, 0.7943",
    ),
)
