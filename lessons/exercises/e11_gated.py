import numpy as np

from atrank_np.gradcheck import numeric_gradient
from lessons.exercises import Case

TRANSFER = True
TITLE = "a block with another activation, gated"
TASK = """
Many language models have this block (SwiGLU) in place of F_self. No layer norm, no bias:
    z = x A            gate = z · σ(z)       σ(z) = 1 / (1 + exp(−z)), entry by entry
    u = x B            hidden = gate ∘ u
    out = hidden W2    total = α x + mask ∘ out
    x, mask, dtotal [N,D]; A, B [D,H]; W2 [H,D]; α (alpha) a number, a parameter
Write gated_backward(dtotal, x, A, B, W2, alpha, mask) (about 15 lines). Compute the forward arrays that you need first.
    returns dx [N,D], dA [D,H], dB [D,H], dW2 [H,D], dα (a number)
"""
STUB = """\
import numpy as np


def gated_backward(dtotal, x, A, B, W2, alpha, mask):  # -> [N,D], [D,H], [D,H], [H,D], number
    # YOUR CODE (about 15 lines)
    ...
"""
HINTS = (
    "Differentiate g(z) = z σ(z) by the product rule; σ' = σ (1 − σ). In hidden = gate ∘ u each factor gets the other one. Which "
    "lines use x? In how many entries of total does α stand?",
    "g'(z) = σ + z σ (1 − σ). dout = mask ∘ dtotal, dhidden = dout W2ᵀ, dz = dhidden ∘ u ∘ g'(z), du = dhidden ∘ gate. x has "
    "three uses: dx = α dtotal + dz Aᵀ + du Bᵀ. dα is the sum of dtotal ∘ x over all entries.",
)
EXPLAIN = """
Why it is so: an activation touches one line only, B2: its slope in place of [z > 0]. A product of two layers adds one more use of
x. Everything else is as in the lesson. Note that the slope of z σ(z) can be negative and above 1; where a gate is nearly 0,
u learns nothing, as behind a closed relu.
"""


def forward(x, A, B, W2, alpha, mask):
    z = x @ A
    return alpha[0] * x + mask * ((z / (1 + np.exp(-z)) * (x @ B)) @ W2)


def check(answer, rng):
    for N, D, H in ((5, 7, 3), (2, 3, 5), (3, 5, 11)):
        x, dtotal = rng.standard_normal((2, N, D))
        A, B, W2 = rng.standard_normal((D, H)), rng.standard_normal((D, H)), rng.standard_normal((H, D))
        alpha = rng.uniform(0.5, 1.5, 1)
        mask = (rng.random((N, D)) > 0.4) / 0.6
        yours = answer.gated_backward(dtotal, x, A, B, W2, float(alpha[0]), mask)
        came = len(yours) if isinstance(yours, tuple) else 1
        if came != 5:
            yield Case("five results: dx, dA, dB, dW2, dα. How many came back", came, 5)
            return

        def loss(_, own=(x, A, B, W2, alpha, mask), dtotal=dtotal):
            return (dtotal * forward(*own)).sum()

        z, u = x @ A, x @ B
        s = 1 / (1 + np.exp(-z))
        gate, slope = z * s, s + z * s * (1 - s)
        dhidden, unmasked = (mask * dtotal) @ W2.T, dtotal @ W2.T
        residual, by_z, by_u = alpha[0] * dtotal, dhidden * u * slope @ A.T, dhidden * gate @ B.T
        short = {
            "the slope of z σ(z) has two terms: σ is forgotten": z * s * (1 - s),
            "the slope of z σ(z) has two terms: z σ (1 − σ) is forgotten": s,
            "that is the slope of a relu": (z > 0) * 1.0,
            "that is the slope of σ, not of z σ(z)": s * (1 - s),
        }
        of_x = {words: residual + dhidden * u * wrong @ A.T + by_u for words, wrong in short.items()}
        of_x |= {
            "the residual connection is missing": by_z + by_u,
            "the residual connection has the factor α": dtotal + by_z + by_u,
            "x is used in u as well": residual + by_z,
            "x is used in z as well": residual + by_u,
            "the mask is missing": residual + unmasked * u * slope @ A.T + unmasked * gate @ B.T,
        }
        of_A = {words: x.T @ (dhidden * u * wrong) for words, wrong in short.items()}
        of_A["the mask is missing"] = x.T @ (unmasked * u * slope)
        of_A["hidden is a product: dz needs the factor u"] = x.T @ (dhidden * slope)
        of_B = {"the mask is missing": x.T @ (unmasked * gate), "u has the factor gate, not z": x.T @ (dhidden * z)}
        shape = f"(N={N}, D={D}, H={H})"
        yield Case(f"dx {shape}", yours[0], numeric_gradient(loss, x), of_x)
        yield Case(f"dA {shape}", yours[1], numeric_gradient(loss, A), of_A)
        yield Case(f"dB {shape}", yours[2], numeric_gradient(loss, B), of_B)
        of_W2 = {"the mask is missing": (gate * u).T @ dtotal}
        yield Case(f"dW2 {shape}", yours[3], numeric_gradient(loss, W2), of_W2)
        of_alpha = {"α has nothing to do with the mask": (mask * dtotal * x).sum(), "a mean for the sum": (dtotal * x).mean()}
        yield Case(f"dα {shape}", yours[4], numeric_gradient(loss, alpha)[0], of_alpha)
