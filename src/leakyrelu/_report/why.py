"""Why activations differ in score, in sentences: what their networks' condition supports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from leakyrelu._compare.statistics.condition import (
    END,
    START,
    median_reach,
    silent_by_layer,
    slopes,
)
from leakyrelu._compare.statistics.relations import FEWEST_TO_TELL, SILENT, UNEVEN, Relation, apart
from leakyrelu._compare.statistics.verdict import Candidate
from leakyrelu._compare.trial import Trial
from leakyrelu._report.words import fraction, percent
from leakyrelu.activations import parse

__all__ = ["explain", "names_of_slopes"]


def explain(
    candidates: Sequence[Candidate], reference: str, found: Sequence[Relation]
) -> list[str]:
    """Say in sentences what goes with the differences in score.

    Parameters
    ----------
    candidates : sequence of Candidate
    reference : str
        The activation that the others were compared with.
    found : sequence of Relation
        How the condition of the networks goes with their score.

    Returns
    -------
    list of str
        One for each activation that is better or worse, for each PReLU, and for the relations.
    """
    trained = [c for c in candidates if not c.lost]
    own = next((c for c in trained if c.activation == reference), None)
    told = [_reason(c, own) for c in trained if own and c.verdict in ("better", "worse")]
    if own is None or len(trained) < 2:
        lost = [c for c in candidates if c.lost and (own or c.activation == reference)]
        why = "diverged" if all(c.lost == "diverged" for c in lost) else "got no score"
        others = "the others" if own else reference
        told = [f"There is nothing to explain: {others} {why}, so nothing could be compared."]
    elif not told:
        told = [f"No activation is better or worse than {reference}: there is nothing to explain."]
    told += [_slopes(c) for c in trained if c.trials[0].history[END].slopes]
    return [*told, _relations(found)] if trained else told


# --- Better or worse, and what sets it apart ---------------------------------------------------


def _reason(candidate: Candidate, reference: Candidate) -> str:
    findings = [_silence(candidate, reference), _gradient(candidate, reference)]
    is_better = candidate.verdict == "better"
    speaking_for = [text for is_healthier, text in findings if text and is_healthier == is_better]
    against = [text for is_healthier, text in findings if text and is_healthier != is_better]
    start = f"{candidate.activation} is {candidate.verdict} than {reference.activation}"
    if speaking_for:
        sentence = f"{start}. What sets it apart: {'; '.join(speaking_for)}."
    elif against:
        sentence = f"{start}, but none of the health figures is a reason for it."
    else:
        sentence = f"{start}, but none of the health figures sets it apart."
    if against:
        sentence += f" What speaks against it: {'; '.join(against)}."
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
    return "dead" if parse(candidate.activation).can_die else "stuck negative"


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
            "Whether the health figures go with the score can't be told from chance here: that "
            f"takes {FEWEST_TO_TELL} seeds, or activations, whose figures differ."
        )
    if not clear:
        return (
            "None of the health figures goes with the score more closely than chance would make "
            "it, neither within the activations nor across them."
        )
    told = [
        f"{r.quantity} {r.correlation:+.2f} {r.scope} "
        f"({r.n} {'networks' if r.scope.startswith('within') else 'activations'})"
        for r in clear
    ]
    return (
        f"What goes with the score, by rank correlation: {'; '.join(told)}. "
        "That is no proof of a cause."
    )
