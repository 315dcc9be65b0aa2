"""What a script requires of a comparison, as ``"elu better than relu"``."""

from __future__ import annotations

import re

from leakyrelu._compare.data.labels import named
from leakyrelu._compare.results import Results
from leakyrelu._errors import InputError
from leakyrelu.activations import Activation

__all__ = ["holds", "understood"]

WORDS = ("better", "worse", "equivalent", "undecided")
FLIPPED = {"better": "worse", "worse": "better"}
WORD = rf"({'|'.join(WORDS)})"
SENTENCE = re.compile(
    rf"(?P<one>.+?)\s+(is\s+)?(?P<is_not>not\s+)?(?P<words>{WORD}(\s+or\s+{WORD})*)\s+"
    r"((than|to|from)\s+)?(?P<other>.+)"
)


def understood(requirement: str) -> tuple[str, set[str], str]:
    """Return who is required to be what than whom: a verdict among some.

    Examples
    --------
    >>> one, verdicts, other = understood("elu not worse than relu")
    >>> one, sorted(verdicts), other
    ('elu', ['better', 'equivalent', 'undecided'], 'relu')
    """
    found = SENTENCE.fullmatch(requirement.strip())
    if found is None:
        raise InputError(
            f"the requirement {requirement!r} should be as 'elu better than relu', with "
            f"{', '.join(WORDS)}, 'better or equivalent' or 'not worse'"
        )
    words = set(found["words"].split()) - {"or"}
    return found["one"], set(WORDS) - words if found["is_not"] else words, found["other"]


def holds(found: Results, requirement: str) -> tuple[bool, str]:
    """Tell whether the verdict is as required, and what it is."""
    first, wanted, second = understood(requirement)
    one, other = (_candidate(found, name) for name in (first, second))
    if one == other:
        raise InputError(f"the requirement {requirement!r} compares {one} with itself")
    verdict = _verdict(found, one, other)
    if verdict is None:
        told = f"one of {one} and {other} got no score"
    elif verdict == "undecided":
        told = f"{one} and {other} are undecided"
    else:
        told = f"{one} is {verdict} {'to' if verdict == 'equivalent' else 'than'} {other}"
    return verdict in wanted, f"{told} on {found.scope}"


def _candidate(found: Results, name: str) -> Activation:
    wanted = named(name)
    for candidate in found.candidates:
        if candidate.activation.lower() == wanted.lower():
            return candidate.activation
    known = ", ".join(c.activation for c in found.candidates)
    raise InputError(f"{name!r} is required, but the activations are {known}")


def _verdict(found: Results, one: Activation, other: Activation) -> str | None:
    """Return what one is than the other, of all pairs if none of them is the reference."""
    if found.settings.reference in (one, other):
        name = other if one == found.settings.reference else one
        verdict = next(c.verdict for c in found.candidates if c.activation == name)
        is_flipped = name == other
    else:
        pairs = {(pair.first, pair.second): pair.difference for pair in found.compared_pairs}
        is_flipped = (other, one) in pairs
        claim = pairs.get((other, one) if is_flipped else (one, other))
        verdict = claim.verdict if claim else None
    return FLIPPED.get(verdict or "", verdict) if is_flipped else verdict
