"""How the policies that close in shares split a residual: as they are defined, lot by lot or by fractions."""

from collections.abc import Sequence
from fractions import Fraction

from tests.reference.exact import floor, largest_remainders


def split(policy: str, total: int, weights: Sequence[int], limits: Sequence[int]) -> list[int]:
    """In proportion to the weights, nobody above its limit: who would be is held at it, and the others give more."""
    shares = [0] * len(weights)
    rest = [i for i, weight in enumerate(weights) if weight]
    while rest:
        level = Fraction(total - sum(shares), sum(weights[i] for i in rest))
        held = [i for i in rest if level * weights[i] >= limits[i]]
        for i in held:
            shares[i] = limits[i]
            rest.remove(i)
        if not held:
            break
    if rest:
        left = total - sum(shares)
        parts = [weights[i] for i in rest]
        whole = largest_remainders(left, parts)
        if policy == "pro_rata":
            whole = [floor(Fraction(left * part, sum(parts))) for part in parts]
            whole = [share + (i < left - sum(whole)) for i, share in enumerate(whole)]
        for i, share in zip(rest, whole, strict=True):
            shares[i] = share
    return shares


def flatten(total: int, sizes: Sequence[tuple[Fraction, int]], limits: Sequence[int]) -> list[int]:
    """A lot at a time from whoever is the most leveraged then; `sizes` are leverage and lots of each."""
    shares = [0] * len(sizes)
    for _ in range(total):
        able = [i for i, limit in enumerate(limits) if shares[i] < limit]
        if not able:
            break
        best = max(able, key=lambda i: (_leverage(*sizes[i], shares[i]), -i))
        shares[best] += 1
    return shares


def _leverage(leverage: Fraction, lots: int, given: int) -> int:
    """What is left of a leverage, in steps of 2^-64, with the equity as it was."""
    return floor(leverage * (lots - given) / lots * 2**64)
