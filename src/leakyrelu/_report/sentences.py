"""What an experiment has found, in sentences: the verdict, and what to know beside it."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics import facts
from leakyrelu._compare.statistics.candidates import Candidate
from leakyrelu._compare.store import reading
from leakyrelu._report.words import (
    difference,
    few,
    listing,
    plain_difference,
    score_in_words,
)

__all__ = ["notes", "progress", "seeds", "verdict"]


def verdict(found: Results) -> str:
    """Say in a sentence or two what the differences show, and claim no more."""
    if not found.candidates:
        seeds, needed, there = found.first_round
        return (
            f"No verdict yet: {there:,} of {needed:,} trials of the first round ({seeds} "
            "seeds) are finished. The same call or command resumes."
        )
    sentences = [_differences(found)]
    if found.limit is not None:
        sentences.insert(0, _limit(found, found.limit))
    return " ".join(sentences)


def progress(found: Results) -> str:
    """Say how many trials there are."""
    trials = f"{len(found.histories()):,} trials"
    if found.is_finished:
        return trials
    stored = f"not finished: {trials} of up to {found.settings.trials:,} are stored"
    return f"{stored}; what follows is based on the complete rounds" if found.candidates else stored


def seeds(found: Results) -> str:
    """Say how many paired seeds there are: ``5 to 10 paired seeds``."""
    if not found.candidates:
        return f"up to {_seeds(*found.seeds)}"
    return _seeds(*found.seeds)


def notes(found: Results) -> list[str]:
    """Say what a careful reader should know beside the verdict."""
    stored = found.environment
    told = list(found.task.notes)
    if damaged := stored.get("damaged"):
        what = "trained again" if found.is_finished else "left out until they are trained again"
        file = found.directory / reading.FILE_NAME
        told.append(f"Damaged trials in {file} were {what}: {few(damaged.split('; '), '; ')}.")
    told += [
        f"Trained with {name} {stored[name]}; numbers may differ slightly."
        for name in reading.VERSIONS
        if reading.THEN in stored.get(name, "")
    ]
    began = stored.get(reading.BEGAN_WITH)
    if began and began != found.settings.candidates:
        told.append(
            f"The experiment began with {began}. The intervals hold for the activations in this "
            "table; choosing these after seeing results gives chance more tries."
        )
    others, rates = found.left_out
    if left_out := [*others, *(f"learning rate {rate:g}" for rate in rates)]:
        told.append(f"Also trained, but not in this table: {', '.join(left_out)}.")
    return [*told, *(_note(fact, found) for fact in found.facts)]


def _seeds(fewest: int, most: int) -> str:
    count = f"{fewest} to {most}" if fewest < most else f"{most}"
    return f"{count} paired seed{'' if most == 1 else 's'}"


# --- The verdict -------------------------------------------------------------------------------


def _limit(found: Results, limit: facts.Limit) -> str:
    metric = found.task.metric
    score = score_in_words(limit.score, metric)
    if limit.kind == "all perfect":
        return f"Every activation reaches {score}, so this task can't tell which is best."
    beats = "beats" if limit.kind == "no better than a guess" else "is detectably better than"
    return f"No activation {beats} always guessing {metric.guess} ({score})."


def _differences(found: Results) -> str:
    own, metric, settings = found.reference, found.task.metric, found.settings
    reference = settings.reference
    others = [c for c in found.trained if c.difference is not None]
    tail = ""
    if not own.lost and reference.can_die:
        tail = f"; {own.dead:.1%} of {reference}'s units ended dead"
        tail += f" ({own.born_dead:.1%} were born dead)"
    if diverged := [c.activation for c in found.candidates if c.lost == "diverged"]:
        tail += f"; {listing(diverged)} diverged with some seed at every learning rate"
    if undefined := [c.activation for c in found.candidates if c.lost == "undefined"]:
        tail += f"; {metric} of {listing(undefined)} is undefined at every learning rate"
    if own.lost:
        why = "which diverged" if own.lost == "diverged" else f"whose {metric} is undefined"
        return f"Nothing can be said about differences from {reference}, {why}{tail}."
    if len(settings.seeds) < 2 or len(own.trials) < 2:
        return f"One seed can't show a difference that chance could not explain; use more{tail}."
    if not others:
        return f"Nothing is left to compare with {reference}{tail}."
    counts = [len(c.trials) for c in others]
    basis = f"{_seeds(min(counts), max(counts))}, 95% intervals for all comparisons together"
    if found.rope:
        basis += f"; differences up to {plain_difference(found.rope, metric)} count as none"

    def those(word: str) -> list[Candidate]:
        return [c for c in others if c.verdict == word]

    def listed(some: Sequence[Candidate]) -> str:
        names = [
            f"{c.activation} ({difference(c.difference, metric)})" for c in some if c.difference
        ]
        return f"{listing(names)} {'is' if len(some) == 1 else 'are'}"

    better, worse, equivalent = those("better"), those("worse"), those("equivalent")
    if better:
        text = f"{listed(better)} better than {reference} in {metric}"
        text += f"; {listed(worse)} worse" if worse else ""
    elif worse:
        text = f"Nothing is detectably better than {reference} in {metric}; {listed(worse)} worse"
    else:
        text = f"No detectable difference from {reference} in {metric}"
    if equivalent:
        names = listing([c.activation for c in equivalent])
        text += f"; {names} {'is' if len(equivalent) == 1 else 'are'} equivalent to it"
    return f"{text} ({basis}){tail}."


# --- Notes -------------------------------------------------------------------------------------


@functools.singledispatch
def _note(fact: facts.Fact, found: Results) -> str:
    raise NotImplementedError(type(fact))


@_note.register
def _(fact: facts.UndefinedForParts, found: Results) -> str:
    metric = found.task.metric
    parts = [f"the {part} part of seed {few(seeds)}" for part, seeds in fact.seeds.items()]
    where = metric.undefined_for or "data for which it gives no finite number for any network"
    return f"{metric} is undefined for {where}, as {listing(parts)}: these seeds are left out."


@_note.register
def _(fact: facts.UndefinedForNetworks, found: Results) -> str:
    each = [f"{name} at {rate:g} (seed {few(s)})" for (name, rate), s in fact.seeds.items()]
    return (
        f"{found.task.metric} is undefined, which is not divergence, for networks of {few(each)}, "
        "but not for others of these seeds. Leaving them out would flatter, so these learning "
        "rates are out. A metric should return a number for any outputs, even if all are equal."
    )


@_note.register
def _(fact: facts.EveryActivationDiverged, found: Results) -> str:
    return f"At learning rate {fact.learning_rate:g} every activation diverged."


@_note.register
def _(fact: facts.Diverged, found: Results) -> str:
    return (
        f"{', '.join(fact.activations)} diverged with some seed at every learning rate of the "
        f"grid; try rates below {fact.lowest:g}."
    )


@_note.register
def _(fact: facts.AtEdgeOfGrid, found: Results) -> str:
    return (
        f"The {fact.which} learning rate of the grid, {fact.learning_rate:g}, was best for "
        f"{', '.join(fact.activations)}; one beyond the grid might be better still."
    )


@_note.register
def _(fact: facts.Undecided, found: Results) -> str:
    never = "no number of seeds would" + (": it takes more data" if fact.takes_more_data else "")
    needs = [
        f"{', '.join(names)}: "
        + (f"about {seeds:,} seeds in total would settle it (50% power)" if seeds else never)
        for seeds, names in fact.by_seeds.items()
    ]
    return f"Undecided; if the differences stay as they are: {'; '.join(needs)}."


@_note.register
def _(fact: facts.RopeWouldSettle, found: Results) -> str:
    matter = plain_difference(fact.rope, found.task.metric)
    return (
        f"If differences up to {matter} don't matter to you (--rope {fact.rope:g}), "
        f"{', '.join(fact.activations)} would be equivalent to {found.settings.reference}. A rope "
        "chosen after looking is exploratory and proves nothing: set it for the next experiment."
    )


@_note.register
def _(fact: facts.Dropped, found: Results) -> str:
    names = [f"{name} ({seeds} seeds)" for name, seeds in fact.seeds.items()]
    return (
        f"No more seeds were spent on {', '.join(names)}: they are decided, and more seeds would "
        "hardly have made one of them the best."
    )
