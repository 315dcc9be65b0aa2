"""Why activations differ in score, in sentences: what their networks' condition supports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.statistics.condition import (
    END,
    START,
    median_reach,
    silent_by_layer,
    slopes,
)
from leakyrelu._compare.statistics.relations import FEWEST_TO_TELL, SILENT, UNEVEN, Relation, apart
from leakyrelu._compare.trial import Trial
from leakyrelu._report.words import fraction, percent

__all__ = ["explain", "names_of_slopes"]


def explain(found: Results) -> list[str]:
    """Say in sentences what goes with the differences in score.

    There is one for each activation that is better or worse, for each PReLU, and for the
    correlations; none where the networks were not looked at.
    """
    if not found.candidates or not found.has_health:
        return []
    trained, own = found.trained, found.reference
    reference = own.activation
    decided = [c for c in trained if c.verdict in ("better", "worse") and not own.lost]
    told = [_reason(c, own, found.scope) for c in decided]
    if own.lost or len(trained) < 2:
        lost = [own] if own.lost else [c for c in found.candidates if c.lost]
        why = "diverged" if all(c.lost == "diverged" for c in lost) else "got no score"
        others = reference if own.lost else "the others"
        told = [f"There is nothing to explain: {others} {why}, so nothing could be compared."]
    elif not told:
        told = [
            f"No activation is known to be better or worse than {reference}: there is nothing to "
            "explain."
        ]
    told += [_slopes(c) for c in trained if c.trials[0].history[END].slopes]
    return [*told, _relations(found.relations)] if trained else told


# --- Better or worse, and what sets it apart ---------------------------------------------------


def _reason(candidate: Candidate, reference: Candidate, scope: str) -> str:
    findings = [_silence(candidate, reference), _gradient(candidate, reference)]
    is_better = candidate.verdict == "better"
    speaking_for = [text for is_healthier, text in findings if text and is_healthier == is_better]
    against = [text for is_healthier, text in findings if text and is_healthier != is_better]
    start = f"{candidate.activation} is {candidate.verdict} than {reference.activation} on {scope}"
    if speaking_for:
        sentence = f"{start}. What sets it apart: {'; '.join(speaking_for)}."
    elif against:
        sentence = f"{start}, but no health metric explains it."
    else:
        sentence = f"{start}, but no health metric sets it apart."
    if against:
        sentence += f" Against it: {'; '.join(against)}."
    return sentence


def _silence(candidate: Candidate, reference: Candidate) -> tuple[bool, str]:
    """Whether the candidate has fewer silent units, and the words, none if not set apart."""
    difference = apart(candidate, reference, SILENT)
    if not difference:
        return False, ""
    worse, other = (reference, candidate) if difference < 0 else (candidate, reference)
    share = percent(other.silent())
    return difference < 0, (
        f"{percent(worse.silent())} of {worse.activation}'s units were {_word(worse)} at the end, "
        f"{_where(worse.trials)} ({percent(worse.silent(START))} before training), of "
        f"{other.activation}'s {'none' if share == '0' else f'{share} were {_word(other)}'}"
    )


def _word(candidate: Candidate) -> str:
    return "dead" if candidate.activation.can_die else "stuck negative"


def _where(trials: Sequence[Trial]) -> str:
    """Name the shortest run of layers that has half of what is silent."""
    shares, names = silent_by_layer(trials, END), trials[0].layers
    for length in range(1, len(shares) // 2 + 1):
        sums = np.convolve(shares, np.ones(length), mode="valid")
        if sums.max() >= shares.sum() / 2:
            first = int(sums.argmax())
            return f"at least half of these in {_layers(names[first], names[first + length - 1])}"
    return "spread over the layers"


def _layers(first: str, last: str) -> str:
    is_plural = first != last
    prefix = f"layer{'s' if is_plural else ''} " if first.isdigit() else ""
    return f"{prefix}{first} to {last}" if is_plural else f"{prefix}{first}"


def _gradient(candidate: Candidate, reference: Candidate) -> tuple[bool, str]:
    """Whether the candidate's gradient is more even, and the words, none if not set apart."""
    difference = apart(candidate, reference, UNEVEN)
    if not difference:
        return False, ""
    worse, other = (reference, candidate) if difference < 0 else (candidate, reference)
    return difference < 0, (
        f"before training the gradient at {worse.activation}'s first weights was "
        f"{fraction(median_reach(worse.trials, START))} of that at its last, at "
        f"{other.activation}'s {fraction(median_reach(other.trials, START))}"
    )


# --- Slopes and relations ----------------------------------------------------------------------


def names_of_slopes(trial: Trial) -> list[str]:
    """Name what each slope belongs to: the layers, where there is one for each."""
    count = len(trial.history[END].slopes)
    if count == len(trial.layers):
        return [_layers(layer, layer) for layer in trial.layers]
    return [f"PReLU {number + 1}" for number in range(count)]


def _slopes(candidate: Candidate) -> str:
    start, end = slopes(candidate.trials, START), slopes(candidate.trials, END)
    names = names_of_slopes(candidate.trials[0])
    low, high = int(end.argmin()), int(end.argmax())
    began = f"{start.min():.2f}"
    if np.ptp(start) >= 0.005:
        began += f" to {start.max():.2f}"
    return (
        f"{candidate.activation}'s slopes began at {began} and ended between {end[low]:.2f} "
        f"({names[low]}) and {end[high]:.2f} ({names[high]}), {end.mean():.2f} on average."
    )


def _relations(found: Sequence[Relation]) -> str:
    clear = [relation for relation in found if relation.is_clear]
    if not any(relation.is_tested for relation in found):
        return (
            "Too few networks to tell whether a health metric correlates with the score: it takes "
            f"{FEWEST_TO_TELL} seeds, or activations, with metrics that differ."
        )
    if not clear:
        return (
            "No health metric correlates with the score beyond chance, neither within activations "
            "nor across them."
        )
    told = [
        f"{r.quantity} {r.correlation:+.2f} {r.scope} "
        f"({r.n} {'networks' if r.scope.startswith('within') else 'activations'})"
        for r in clear
    ]
    return (
        f"Correlated with the score (rank correlation): {'; '.join(told)}. Correlation does not "
        "prove a cause."
    )
