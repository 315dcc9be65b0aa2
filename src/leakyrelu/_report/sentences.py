"""What an experiment has found, in sentences: the verdict, and what to know beside it."""

from __future__ import annotations

import functools

from leakyrelu._compare.results import Results
from leakyrelu._compare.statistics import facts
from leakyrelu._compare.store import reading
from leakyrelu._report.words import by, few, listing, odds, plain_difference, score_in_words

__all__ = ["about", "notes", "progress", "seeds", "use", "verdict"]

MOST_LISTED = 4  # of those that may be best, if it is shorter to name the others


def verdict(found: Results) -> str:
    """Say which may be best, what differs, and which to use; then what holds for the source."""
    if not found.candidates:
        seeds, needed, there = found.first_round
        return (
            f"No verdict yet: {there:,} of up to {needed:,} trials of the first round ({seeds} "
            "seeds) are finished. The same call or command resumes."
        )
    each = [_best(found), _differences(found), use(found), _for_the_source(found), *_lost(found)]
    if found.limit is not None:
        each.insert(0, _limit(found, found.limit))
    return " ".join(filter(None, each))


def about(found: Results, described: bool = False) -> str:
    """Say what is known of data, networks and seeds, also what the examples are if `described`."""
    examples = f"{found.task.examples:,} examples" if found.task.examples else ""
    if described:
        examples = ", ".join(filter(None, (examples, found.task.description)))
    separator = "; " if described else ", "
    return separator.join(filter(None, (examples, found.settings.network, seeds(found))))


def progress(found: Results) -> str:
    """Say how many trials there are."""
    trials = f"{len(found.histories()):,} {'runs' if found.is_judged else 'trials'}"
    if found.is_finished:
        return trials
    stored = f"not finished: {trials} of up to {found.settings.trials:,} are stored"
    return f"{stored}; what follows is based on the complete rounds" if found.candidates else stored


def seeds(found: Results) -> str:
    """Say how many paired seeds there are: ``5 to 10 paired seeds``."""
    return ("" if found.candidates else "up to ") + _seeds(*found.seeds)


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
            f"The experiment began with {began}. The claims hold for the activations in this "
            "table; choosing these after seeing results gives chance more tries."
        )
    if asked := stored.get(reading.ASKED_FOR):
        told.append(
            f"{asked} seeds were asked for, but {len(found.settings.seeds)} had been begun in "
            f"{found.directory}: all of them count."
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


def _best(found: Results) -> str:
    """Say which activations can't be ruled out as the best."""
    trained = found.trained
    if not _has_several_seeds(found) or len(trained) < 2:
        return ""
    names = [c.activation for c in found.best]
    others = [c.activation for c in trained if c.activation not in names]
    if not others:
        told = f"any of the {len(names)}" if len(names) > 2 else listing(names, "or")
    elif len(others) < len(names) and len(names) > MOST_LISTED:
        told = f"any but {listing(others)}"
    else:
        told = listing(names, "or")
    return f"Best on {found.scope}: {told} (95%)."


def _has_several_seeds(found: Results) -> bool:
    return bool(found.trained) and min(len(c.trials) for c in found.trained) > 1


def _differences(found: Results) -> str:
    own, metric = found.reference, found.task.metric
    reference = own.activation
    if own.lost:
        why = "which diverged" if own.lost == "diverged" else f"whose {metric} is undefined"
        return f"Nothing can be said about differences from {reference}, {why}."
    if not _has_several_seeds(found):
        return "One seed can't show a difference that chance could not explain; use more."
    others = [c for c in found.trained if c.difference is not None]
    if not others:
        return f"Nothing is left to compare with {reference}."
    # A claim rests on the seeds with which it was decided, unless all of them say the same.
    counts = [min(len(c.trials), c.difference.trainings) for c in others if c.difference]
    basis = _seeds(min(counts), max(counts))
    if found.rope:
        basis += f"; differences up to {plain_difference(found.rope, metric)} count as none"

    def those(word: str) -> str:
        names: list[str] = []
        for c in others:
            if c.verdict == word and c.difference:
                end = by(c.difference, metric, unit=not names)
                is_decided = word in ("better", "worse")
                names.append(f"{c.activation} by {end}" if is_decided else c.activation)
        return listing(names) if names else ""

    better = those("better")
    told = [f"{word}: {names}" for word in ("worse", "equivalent") if (names := those(word))]
    if better or those("worse"):
        told += [f"undecided: {names}"] if (names := those("undecided")) else []
    if better:
        start = f"On {found.scope}, better than {reference} in {metric}: {better}"
    elif those("worse"):
        start = f"On {found.scope}, nothing is detectably better than {reference} in {metric}"
    else:
        where = "" if told or not found.has_source else ", nor for their source"
        start = f"On {found.scope}, no detectable difference from {reference} in {metric}{where}"
    return f"{'; '.join([start, *told])} ({basis})."


def use(found: Results) -> str:
    """Say which activation to use, and what that may lose."""
    chosen, metric = found.recommended, found.task.metric
    if chosen is None or len(found.trained) < 2:
        return ""
    if chosen.probability_best is None:
        return f"{chosen.activation} had the highest score."
    told = f"Use {chosen.activation}: on {found.scope} it is best with probability "
    told += odds(chosen.probability_best)
    if found.regret > 0:
        most = f"{metric.scale * found.regret:.{metric.digits}f}{metric.unit_of_difference}"
        told += f", and at worst {most} below the best (95%)"
    return f"{told}."


def _for_the_source(found: Results) -> str:
    """Say what of it holds for the source of the data."""
    decided = [c for c in found.trained if c.verdict not in (None, "undecided")]
    if not decided or not found.has_source:
        return ""
    holds = [c for c in decided if c.source and c.source.verdict == c.verdict]
    if len(holds) == len(decided):
        what = "this difference holds" if len(holds) == 1 else "these differences hold"
        return f"For the source of the data, too, {what}."
    if not holds:
        return "For the source of the data, nothing is decided."
    told = []
    for word in ("better", "worse", "equivalent", "undecided"):
        if names := [c.activation for c in decided if c.source and c.source.verdict == word]:
            told.append(f"{word}: {listing(names)}")
    return f"For the source of the data, {'; '.join(told)}."


def _lost(found: Results) -> list[str]:
    """Say how many units died, and who got no score."""
    own, told, metric = found.reference, [], found.task.metric
    if found.has_health and not own.lost and own.activation.can_die:
        told.append(
            f"{own.dead:.1%} of {own.activation}'s units ended dead ({own.born_dead:.1%} were born "
            "dead)."
        )
    if diverged := [c.activation for c in found.candidates if c.lost == "diverged"]:
        rates = " at every learning rate" if found.has_rates else ""
        told.append(f"{listing(diverged)} diverged with some seed{rates}.")
    if undefined := [c.activation for c in found.candidates if c.lost == "undefined"]:
        told.append(f"{metric} of {listing(undefined)} is undefined at every learning rate.")
    return told


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
    who = f"{', '.join(fact.activations)} diverged with some seed"
    if not found.has_rates:
        return f"{who}; try lower learning rates."
    return f"{who} at every learning rate of the grid; try rates below {fact.lowest:g}."


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
    return f"Undecided on {found.scope}; if the differences stay as they are: {'; '.join(needs)}."


@_note.register
def _(fact: facts.RopeWouldSettle, found: Results) -> str:
    matter = plain_difference(fact.rope, found.task.metric)
    return (
        f"If differences up to {matter} don't matter to you (--rope {fact.rope:g}), "
        f"{', '.join(fact.activations)} would be equivalent to {found.settings.reference}. A rope "
        "chosen after looking is exploratory and proves nothing: set it for the next experiment."
    )


@_note.register
def _(fact: facts.EarlierVersion, found: Results) -> str:
    return (
        "This experiment was made by an earlier version of leakyrelu, which kept no results of "
        "single test examples: its intervals rest on the scores of seeds alone, and are wider. To "
        "go on, begin anew in another directory."
    )


@_note.register
def _(fact: facts.SeedsOnly, found: Results) -> str:
    return (
        f"What single test examples add to {found.task.metric} is not known for networks of "
        f"{listing(fact.activations)}, as where it is undefined without some of them: intervals "
        "rest on the scores of seeds alone there, and are wider."
    )


@_note.register
def _(fact: facts.RunsOfOthers, found: Results) -> str:
    if fact.known == "scores of seeds":
        told = (
            "Only one score a seed is known, so the verdict speaks of networks trained with other "
            "seeds and tested on the same examples, not of new examples. For these it takes a row "
            "for each test example (--example COLUMN); or, if each seed had a split of its own, "
            "say which share was tested (--splits 0.2)."
        )
    elif fact.known == "scores of splits":
        told = (
            "Only one score a split is known: intervals are those of the corrected resampled t "
            f"test, with {fact.test_to_train:.2g} test examples for each that trains."
        )
    elif fact.has_fixed_test:
        told = (
            "All runs were tested on the same examples: for other data sets of the same source "
            "nothing can be said."
        )
    else:
        told = ""
    if fact.chosen_by_test:
        told += (
            " Validation scores to choose the learning rate are not known of all runs. To choose "
            "by the scores that are judged would flatter, most of all who was given most rates: so "
            "every second seed chose by its test score, and only the others are judged."
        )
    once = "The seeds that are there count as planned: judge them once, when all are finished."
    return f"{told} {once}".strip()


@_note.register
def _(fact: facts.Dropped, found: Results) -> str:
    names = [f"{name} ({seeds} seeds)" for name, seeds in fact.seeds.items()]
    return (
        f"No more seeds were spent on {', '.join(names)}: they are decided on {found.scope}, and "
        "more seeds would hardly have made one of them the best."
    )
