"""How often the verdicts of `compare` are right, how often wrong, beside other ways to make them.

python benchmarks/verdicts.py [--quick] [laws] [whole] [drawn] [peers] [tables] [digits] [runs]

- laws: networks that are trained, each experiment on a data set of its own, judged on fresh
  examples (`verdict_corpus.py`; what is trained is kept in corpus/ and takes an hour or two);
- whole: the same networks, taken the way of `compare`, from who goes on at which learning rate to
  what is said, for users who ask for 10 seeds, then 20, then 40;
- drawn: results drawn from laws under which nobody is better;
- peers: verdicts of other packages on the same trainings, for which
  pip install --no-deps baycomp adastop scikit-posthocs statsmodels patsy seaborn. Not among them:
  rliable, whose bootstrap calls arch as it was for Python 3.10 (its interval, the percentile
  bootstrap, is SciPy's here); deep-significance, which takes half a minute an experiment; and
  mlxtend's 5x2cv, which trains by itself, on halves of the data;
- tables: real tables (`verdict_tables.py`, which names what it needs);
- digits: the default comparison;
- runs: what `judge` claims of scores alone, drawn from laws under which nobody is better.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import harness
import numpy as np
import numpy.typing as npt
import verdict_runs
import verdict_tables
from scipy import stats
from verdict_corpus import (
    CANDIDATES,
    FOLDS,
    LAWS,
    OTHERS,
    TUNED,
    Experiments,
    Law,
    folds_of,
    load,
)
from verdict_methods import METHODS, PEERS, SIGNS, Pairs, looks_of, moved

from leakyrelu._compare.settings import DEFAULT_ACTIVATIONS, Settings, make_settings
from leakyrelu._compare.statistics import crossed
from leakyrelu._compare.statistics.candidates import Candidate, candidates, chosen
from leakyrelu._compare.statistics.crossed import Claim, Difference
from leakyrelu._compare.statistics.evidence import Evidence
from leakyrelu._compare.statistics.rounds import wanted
from leakyrelu._compare.trial import Key, Trial, packed
from leakyrelu.activations import parse

Array = npt.NDArray[np.float64]
TRAININGS = (5, 10, 20, 40)
CLAIMS = ("these data", "the source")
MOST = 40
LAW_NAMES = tuple(
    law.name + f"@{rate}" * (len(law.rates) > 1)
    for law in (*TUNED, *OTHERS)
    for rate in range(len(law.rates))
)
TWIN = CANDIDATES.index("leaky_relu:0.011")
SIX = [c for c in range(len(CANDIDATES)) if c != TWIN]


def share(errors: Sequence[Sequence[bool]]) -> str:
    """Write how often something happens, and the upper end of a one-sided 95% interval.

    `errors` has a row for each data set; several experiments on one are not independent, so their
    number is divided by how much more the means of data sets vary than they would by themselves.
    """
    counts = np.array([len(row) for row in errors])
    means = np.array([np.mean(row) for row in errors])
    total = int(counts.sum())
    rate = float((means * counts).sum() / total)
    alone = rate * (1 - rate) * (counts / total**2).sum()
    real = float(np.square((means - rate) * counts / total).sum())
    own = total / max(real / alone, 1.0) if alone else len(counts)
    return f"{rate:.1%} (< {stats.beta.ppf(0.95, rate * own + 1, own - rate * own):.1%})"


def is_any(claims: Iterable[Claim]) -> bool:
    """Whether anything is claimed."""
    return any(claim.verdict != "undecided" for claim in claims)


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set of a law, and what is true of it."""

    experiments: Experiments
    number: int

    def truth(self, method: str) -> tuple[Array, Array]:
        """Return the differences of which a method speaks, and the variance of what is known."""
        if method == "the source":
            return self.experiments.source
        return self.experiments.truth[self.number], self.experiments.doubt[self.number]


def data_sets(name: str, quick: bool, chosen: Sequence[int] | None = None) -> list[DataSet]:
    """Return all data sets of a law, also those of its second source, with some candidates."""
    names = [name, *[f"{name}-again"] * (f"{name}-again" in LAWS)]
    found = [load(each, quick) for each in names]
    if chosen is not None:
        found = [experiments.of(chosen) for experiments in found]
    return [DataSet(each, number) for each in found for number in range(len(each.tables))]


def parts_of(data: DataSet, trainings: int) -> Iterator[Pairs]:
    """Return the experiments of so many trainings on a data set."""
    tables = data.experiments.tables[data.number]
    for part in range(MOST // trainings):
        own = tables[:, part * trainings : (part + 1) * trainings]
        yield Pairs(own, data.experiments.step)


def on_laws(names: Sequence[str], quick: bool) -> None:
    """Print right and false claims on trained networks."""
    rows, misses = [], []
    pooled: dict[tuple[int, str], list[list[bool]]] = {}
    everyone = range(len(SIX))
    for name in names:
        each = data_sets(name, quick, SIX)
        for trainings in TRAININGS:
            row = [f"{name}, {trainings}", f"{len(each)} x {MOST // trainings}"]
            missed_row = [row[0]]
            for method in METHODS:
                right, false, missed = [], [], []
                for data in each:
                    truth, doubt = data.truth(method)
                    false.append([])
                    for pairs in parts_of(data, trainings):
                        claims = pairs.claims(method, everyone, trainings)
                        signs = [SIGNS.get(claim.verdict, 0) for claim in claims]
                        right.append(np.mean(signs == np.sign(truth[1:, 0])))
                        equal = pairs.claims(method, everyone, trainings, truth=(truth, doubt))
                        false[-1].append(is_any(equal))
                        alone = [pairs.difference(method, c, 0, trainings) for c in everyone[1:]]
                        missed.append(
                            [
                                moved(d, truth[c, 0], doubt[c, 0]).p_value() < 0.05
                                for c, d in enumerate(alone, 1)
                            ]
                        )
                row += [f"{np.mean(right):.0%}", share(false)]
                by_pair = np.mean(missed, axis=0)
                missed_row.append(f"{by_pair.mean():.1%} ({by_pair.max():.1%})")
                pooled.setdefault((trainings, method), []).extend(false)
            rows.append(row)
            misses.append(missed_row)
            print("|", " | ".join(row), file=sys.stderr, flush=True)
    for trainings in TRAININGS:
        count = sum(map(len, pooled[trainings, "former"]))
        rows.append([f"all, {trainings}", f"{count}"])
        for method in METHODS:
            rows[-1] += ["", share(pooled[trainings, method])]
    print("Right claims of five differences, and any false claim of candidates made equal:\n")
    columns = [f"{method}, {what}" for method in METHODS for what in ("right", "false")]
    print(harness.table(("law, trainings", "experiments", *columns), rows))
    print("How often the 95% interval of a single difference misses, mean (worst) of five:\n")
    print(harness.table(("law, trainings", *METHODS), misses))
    print("Candidates made equal, any false claim, laws pooled:\n")
    print(harness.table(("candidates, trainings", *CLAIMS), _counts(names, quick)))
    print("Any false claim where trainings are added (10 were planned), and of twins alone:\n")
    print(harness.table(ADDED_COLUMNS, _added(names, quick)))
    print("The best of six, what is said of it, of these data:\n")
    print(harness.table(BEST_COLUMNS, _best(names, quick)))


def _counts(names: Sequence[str], quick: bool) -> list[list[str]]:
    """Return the rows of 2 to 15 candidates, any of them the reference."""
    errors: dict[tuple[int, int, str], list[list[bool]]] = {}
    rng = np.random.default_rng(0)
    # Of 2x12 each activation at each rate is a candidate: 21.
    for name in dict.fromkeys(name.partition("@")[0] for name in names):
        for data in data_sets(name, quick):
            every = len(data.experiments.names)
            for trainings in TRAININGS:
                pairs = next(parts_of(data, trainings))
                for count in (n for n in (2, 3, 5, 7, 10, 15) if n <= every):
                    some = rng.permutation(every)[:count].tolist()
                    for method in CLAIMS:
                        claims = pairs.claims(method, some, trainings, truth=data.truth(method))
                        own = errors.setdefault((count, trainings, method), [])
                        own.append([is_any(claims)])
    return [
        [f"{count}, {trainings}", *(share(errors[count, trainings, method]) for method in CLAIMS)]
        for count, trainings in sorted({key[:2] for key in errors})
    ]


ADDED_COLUMNS = (
    *("law", "these data, at 10", "by 20", "by 40", "the source, by 40"),
    *("twins, 10", "twins, 20", "twins, 40"),
)


def _added(names: Sequence[str], quick: bool) -> list[list[str]]:
    """Return who adds trainings until something is claimed, and false claims of twins."""
    rows = []
    pooled: list[list[list[bool]]] = [[] for _ in ADDED_COLUMNS[1:]]
    looks = (5, 10, 20, 40)
    ways: list[tuple[str, Sequence[int]]] = [("these data", looks[:2]), ("these data", looks[:3])]
    ways += [("these data", looks), ("the source", looks)]
    for name in names:
        found: list[list[list[bool]]] = [[] for _ in pooled]
        for data in data_sets(name, quick):
            pairs = next(parts_of(data, MOST))
            each = [
                pairs.claims(method, SIX, 10, some, data.truth(method)) for method, some in ways
            ]
            each += [
                pairs.claims("these data", (TWIN - 1, TWIN), n, truth=data.truth("these data"))
                for n in looks[1:]
            ]
            for place, claims in enumerate(each):
                found[place].append([is_any(claims)])
        rows.append([name, *map(share, found)])
        pooled = [a + b for a, b in zip(pooled, found, strict=True)]
    return [*rows, ["all", *map(share, pooled)]]


BEST_COLUMNS = (
    *("law, trainings", "best not in the set", "size of the set", "regret above its bound"),
    *("mean bound", "mean regret", "said to be best with", "is the best"),
)


def _best(names: Sequence[str], quick: bool) -> list[list[str]]:
    """Return what is said of the best: whether it is possible, and the regret within its bound."""
    rows = []
    lost_in_all: dict[int, list[list[bool]]] = {}
    above_in_all: dict[int, list[list[bool]]] = {}
    for name in names:
        each = data_sets(name, quick, SIX)
        for trainings in TRAININGS:
            lost, above, numbers = [], [], []
            for data in each:
                truth, doubt = data.truth("these data")
                best = int(truth[:, 0].argmax())
                reach = 1.645 * np.sqrt(doubt[best])  # of what is known of the truth
                choice, odds = _choice(next(parts_of(data, trainings)), trainings)
                own, likely = int(choice.name), max(odds, key=lambda c: odds[c])
                possible = [int(c) for c in choice.possible]
                lost.append([bool((truth[best] > reach)[possible].all())])
                above.append([bool(truth[best, own] > choice.regret + reach[own])])
                numbers.append(
                    (
                        *(len(possible), choice.regret, truth[best, own]),
                        *(odds[likely], int(likely) == best),
                    )
                )
            size, bound, regret, said, was = np.mean(numbers, axis=0)
            lost_in_all.setdefault(trainings, []).extend(lost)
            above_in_all.setdefault(trainings, []).extend(above)
            unit, digits = (100, 2) if data.experiments.step else (1, 4)
            rows.append(
                [
                    *(f"{name}, {trainings}", share(lost), f"{size:.1f}", share(above)),
                    *(f"{unit * bound:.{digits}f}", f"{unit * regret:.{digits}f}"),
                    *(f"{said:.0%}", f"{was:.0%}"),
                ]
            )
    for n in TRAININGS:
        rows.append([f"all, {n}", share(lost_in_all[n]), "", share(above_in_all[n]), *[""] * 4])
    return rows


def _choice(pairs: Pairs, trainings: int) -> tuple[crossed.Choice, dict[str, float]]:
    """Choose among six, and tell with what probability each is the best."""
    least = pairs.least_spread(range(len(SIX)), trainings)

    def between(one: str, other: str) -> Difference:
        low, high = sorted((int(one), int(other)))
        d = pairs.difference("these data", high, low, trainings, least)
        return d if int(one) == high else Difference(-d.mean, d.error, d.freedom)

    names = [str(c) for c in range(len(SIX))]
    level = (1 - crossed.CONFIDENCE) * crossed.share_at(trainings, trainings) / (len(SIX) - 1)
    claims = pairs.claims("these data", range(len(SIX)), trainings)
    beaten = {name for name, c in zip(names[1:], claims, strict=True) if c.verdict == "worse"}
    if any(claim.verdict == "better" for claim in claims):
        beaten.add(names[0])
    choice = crossed.choose(names, between, lambda one, other: level, beaten)
    return choice, crossed.probability_best(names, between)


def _trials_of(law: Law, data: Experiments, number: int, shuffled: bool) -> dict[Key, Trial]:
    """Return all trainings on a data set as trials of `compare`.

    Shuffled, each training of each rate deals its results out to the activations by chance: then
    none of them is better than another.
    """
    rng = np.random.default_rng(number)
    own = data.tables[number].reshape(len(CANDIDATES), len(law.rates), MOST, -1)
    validation = data.validation[number].reshape(len(CANDIDATES), len(law.rates), MOST)
    found = {}
    for place, rate in enumerate(law.rates):
        for seed in range(MOST):
            rows = np.flatnonzero(~np.isnan(own[0, place, seed]))
            order = rng.permutation(len(CANDIDATES)) if shuffled else range(len(CANDIDATES))
            for spec, c in zip(CANDIDATES, order, strict=True):
                values = own[c, place, seed, rows]
                found[parse(spec), rate, seed] = Trial(
                    *(parse(spec), rate, seed, float(validation[c, place, seed])),
                    *(float(values.mean()), 1.0, [], []),
                    results=packed(rows, values, own.shape[-1]),
                )
    return found


def _user(law: Law, trials: dict[Key, Trial], step: float) -> Iterator[tuple[Settings, Evidence]]:
    """Ask for more and more seeds, and train what is wanted."""
    stored: dict[Key, Trial] = {}
    settings = make_settings("", CANDIDATES, 10, law.epochs, law.rates)
    for seeds in (10, 20, 40):
        more = make_settings("", CANDIDATES, seeds, law.epochs, law.rates)
        settings = more.added_to(settings, {seed for _, _, seed in stored})
        while keys := wanted(settings, list(stored.values()), step):
            stored |= {key: trials[key] for key in keys}
        yield settings, Evidence(settings, list(stored.values()), step)


def on_whole(quick: bool) -> None:
    """Print what users of `compare` see who ask for more and more seeds."""
    rows = []
    in_all: dict[int, list[list[bool]]] = {}
    for law in (*TUNED, *OTHERS):
        names = [law.name, *[f"{law.name}-again"] * (f"{law.name}-again" in LAWS)]
        found: dict[int, list[list[float]]] = {}
        for each in (load(name, quick) for name in names):
            for number in range(len(each.tables)):
                users = [
                    _user(law, _trials_of(law, each, number, shuffled), each.step)
                    for shuffled in (False, True)
                ]
                for (settings, known), (_, nothing) in zip(*users, strict=True):
                    seeds = len(settings.seeds)
                    false = is_any(_claims(candidates(nothing)).values())
                    numbers = _judged(law, each, number, known)
                    trained = len(known.stored) / len(CANDIDATES)
                    found.setdefault(seeds, []).append([*numbers, false, trained])
        for seeds, numbers in found.items():
            right, wrong, lost, above, false, trained = zip(*numbers, strict=True)
            rates = [[[bool(one)] for one in column] for column in (wrong, lost, above, false)]
            rows.append(
                [
                    *(f"{law.name}, {seeds}", f"{len(numbers)}", f"{np.mean(right):.0%}"),
                    *(*map(share, rates), f"{np.mean(trained):.1f}"),
                ]
            )
            print("|", " | ".join(rows[-1]), file=sys.stderr, flush=True)
            in_all.setdefault(seeds, []).extend(rates[-1])
    rows += [[f"all, {n}", f"{len(e)}", *[""] * 4, share(e), ""] for n, e in in_all.items()]
    print("Users of `compare` who ask for 10, then 20, then 40 seeds, seven activations:\n")
    columns = ("law, seeds", "experiments", "right claims", "any claim of the wrong sign")
    columns += ("best not in the set", "regret above its bound", "any claim if all are equal")
    print(harness.table((*columns, "trainings of an activation, all rates"), rows))


def _claims(found: Sequence[Candidate]) -> dict[str, Claim]:
    return {str(c.activation): c.difference for c in found if c.difference is not None}


def _judged(law: Law, data: Experiments, number: int, known: Evidence) -> list[float]:
    """Return the share of right claims, whether any is wrong, the best lost, the regret above."""
    found = candidates(known)
    choice = chosen(known, found)
    places = {
        c.activation: CANDIDATES.index(str(c.activation)) * len(law.rates)
        + law.rates.index(c.learning_rate)
        for c in found
    }
    truth, doubt = data.truth[number], data.doubt[number]
    reference = places[parse("relu")]

    def sure(one: int, other: int) -> float:
        """Return how far one is above another at least, as far as that is known."""
        return float(truth[one, other] - 1.645 * np.sqrt(doubt[one, other]))

    signs = {spec: SIGNS.get(claim.verdict, 0) for spec, claim in _claims(found).items()}
    right = [sign == np.sign(truth[places[parse(s)], reference]) for s, sign in signs.items()]
    wrong = any(
        (sign > 0 and sure(reference, places[parse(spec)]) > 0)
        or (sign < 0 and sure(places[parse(spec)], reference) > 0)
        for spec, sign in signs.items()
    )
    best = max(places.values(), key=lambda place: truth[place, 0])
    possible = [places[spec] for spec in choice.possible]
    lost = best not in possible and all(sure(best, place) > 0 for place in possible)
    above = sure(best, places[choice.name]) > choice.regret
    return [float(np.mean(right)), wrong, lost, above]


Draw = Callable[[np.random.Generator, int, int, int], Array]


def bits(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Right or wrong: some examples are hard, some trainings bad, each a bit for all candidates."""
    hard = rng.standard_normal(examples) + 0.5 * rng.standard_normal((count, 1, examples))
    bad = 0.2 * rng.standard_normal((count, trainings, 1))
    own = 0.5 * rng.standard_normal((count, trainings, examples))
    return np.asarray((0.8 + hard + bad + own > 0).astype(float))


def near(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """All but identical candidates: one test result in 200 differs."""
    common = (rng.standard_normal((1, trainings, examples)) > -0.8).astype(float)
    flipped = rng.random((count, trainings, examples)) < 0.005
    return np.where(flipped, 1 - common, common)


def failing(one_in: int) -> Draw:
    """Return bits of which some trainings, of any candidate, learn nothing."""

    def draw(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
        found = bits(rng, count, trainings, examples)
        failed = rng.random((count, trainings, 1)) < 1 / one_in
        return np.where(failed, rng.random((1, 1, examples)) < 0.5, found)

    return draw


def losses(noise: Callable[[np.random.Generator, tuple[int, ...]], Array]) -> Draw:
    """Return losses whose parts of examples, trainings and cells have some noise."""

    def draw(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
        of_examples = noise(rng, (count, 1, examples))
        of_trainings = 0.3 * noise(rng, (count, trainings, 1))
        return np.asarray(of_examples + of_trainings + noise(rng, (count, trainings, examples)))

    return draw


normal = losses(lambda rng, shape: rng.standard_normal(shape))


def one_sided(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Return losses of which all but the first's are skewed: one training in 10 fails."""
    found = 0.5 * normal(rng, count, trainings, examples)
    failed = rng.random((count, trainings, 1)) < 0.1
    failed[0] = False
    mean = np.where(np.arange(count) > 0, 0.1, 0.0)[:, None, None]
    return np.asarray(found + 2.0 * (failed - mean))


def uneven(rng: np.random.Generator, count: int, trainings: int, examples: int) -> Array:
    """Return losses of which some candidates' vary ten times as much as others'."""
    found = normal(rng, count, trainings, examples)
    return np.asarray(found * np.geomspace(1, 10, count)[::-1, None, None])


DRAWN: dict[str, tuple[Draw, float]] = {
    "bits": (bits, 1.0),
    "bits, all but identical": (near, 1.0),
    "bits, one training in 10 fails": (failing(10), 1.0),
    "bits, one in 100 fails": (failing(100), 1.0),
    "normal losses": (normal, 0.0),
    "uneven losses": (uneven, 0.0),
    "heavy tails": (losses(lambda rng, shape: rng.standard_t(3, shape)), 0.0),
    "skewed": (losses(lambda rng, shape: rng.exponential(size=shape)), 0.0),
    "one in 10 of all but the reference fails": (one_sided, 0.0),
}
DRAWN_SIZES = (
    *((2, 5, 120), (2, 10, 120), (2, 20, 120), (2, 40, 120), (2, 10, 25), (2, 10, 1000)),
    *((8, 5, 120), (8, 10, 120), (8, 20, 120), (15, 10, 120), (15, 20, 25)),
)


def drawn(law: str, count: int, trainings: int, examples: int, number: int) -> Pairs:
    """Draw an experiment, and four times as many trainings as it begins with."""
    draw, unit = DRAWN[law]
    rng = np.random.default_rng([number, count, trainings, examples])
    most = 4 * trainings
    values = draw(rng, count, most, examples)
    nothing = np.zeros(examples, np.int64)
    folds = np.stack([folds_of(nothing, rng) for _ in range(-(-most // FOLDS))])
    tested = (folds[:, None] == np.arange(FOLDS)[:, None]).reshape(-1, examples)[:most]
    return Pairs(np.where(tested, values, np.nan), unit * FOLDS / examples)


def on_drawn(quick: bool) -> None:
    """Print how often anything is claimed where nothing is true."""
    experiments = 20 if quick else 200
    rows = []
    pooled: dict[str, list[list[list[bool]]]] = {}
    for law in DRAWN:
        for count, trainings, examples in DRAWN_SIZES:
            found = []
            for number in range(experiments):
                pairs = drawn(law, count, trainings, examples, number)
                everyone = range(count)
                added = [n for n in (trainings // 2, *(trainings * m for m in (1, 2, 4))) if n >= 5]
                found.append(
                    [is_any(pairs.claims(method, everyone, trainings)) for method in METHODS]
                    + [is_any(pairs.claims("these data", everyone, trainings, added))]
                )
            columns = [[[one] for one in each] for each in zip(*found, strict=True)]
            rows.append([law, f"{count}, {trainings}, {examples}", *map(share, columns)])
            print("|", " | ".join(rows[-1]), file=sys.stderr, flush=True)
            own = pooled.setdefault(law, [[] for _ in columns])
            pooled[law] = [a + b for a, b in zip(own, columns, strict=True)]
    rows += [[law, "all of these", *map(share, columns)] for law, columns in pooled.items()]
    print(f"{experiments} experiments a row; any false claim, where 5% may be:\n")
    columns = ("law", "candidates, trainings, examples", *METHODS, "these data, added twice")
    print(harness.table(columns, rows))
    several = [[any(row)] for row in _one_after_another(experiments)]
    print("Two candidates, and six more one after another, 10 trainings each, normal losses: any")
    print(f"false claim in any of the seven tables {share(several)}\n")


def _one_after_another(experiments: int) -> Iterable[list[bool]]:
    for number in range(experiments):
        pairs = drawn("normal losses", 8, 10, 120, number)
        yield [is_any(pairs.claims("these data", range(count), 10)) for count in range(2, 9)]


def _used(pairs: Pairs, method: str, planned: int) -> float:
    """Return how many trainings of a candidate it takes, on average, until it is decided."""
    each = looks_of(method, planned)
    used = np.full(len(SIX) - 1, planned)
    for n in reversed(range(1, len(each))):
        claims = pairs.claims(method, range(len(SIX)), planned, each[:n])
        used[[claim.verdict != "undecided" for claim in claims]] = each[n - 1]
    return float(used.mean())


def on_peers(quick: bool) -> None:
    """Print the verdicts of other packages on the same trainings."""
    warnings.simplefilter("ignore")
    rows = []
    everyone = range(len(SIX))
    for name in ("2x12@1", "16x8", "10x16", "values"):
        each_data = data_sets(name, quick, SIX)[:60]
        for trainings in (20,):
            found: dict[str, list[tuple[float, bool, float]]] = {}
            for number, data in enumerate(each_data):
                pairs = next(parts_of(data, trainings))
                truth, doubt = data.truth("these data")
                signs = np.sign(truth[1:, 0])
                for method in METHODS:
                    own = data.truth(method)
                    claims = pairs.claims(method, everyone, trainings)
                    false = is_any(pairs.claims(method, everyone, trainings, truth=own))
                    right = [SIGNS.get(claim.verdict, 0) for claim in claims] == signs
                    used = _used(pairs, method, trainings)
                    found.setdefault(method, []).append((float(np.mean(right)), false, used))
                tables = data.experiments.tables[data.number, :, :trainings]
                scores = np.nanmean(tables, axis=2, dtype=np.float64)
                equal = scores.copy()
                for c in everyone[1:]:
                    d = pairs.difference("these data", c, 0, trainings)
                    # What is known of the truth has an error, too; peers know nothing of it.
                    known = d.error / np.hypot(d.error, np.sqrt(doubt[c, 0])) if d.error else 0.0
                    equal[c] -= d.mean - known * (d.mean - truth[c, 0])
                for peer, judge in PEERS.items():
                    if peer == "AdaStop" and number >= 40:
                        continue  # it takes a second or two each time
                    claimed, spent = judge(scores)
                    right = np.mean(np.array(claimed) == signs)
                    found.setdefault(peer, []).append(
                        (float(right), any(judge(equal)[0]), float(spent))
                    )
            for by, each in found.items():
                right, false, used = zip(*each, strict=True)
                row = [f"{name}, {trainings}", by, f"{len(each)}", f"{np.mean(right):.0%}"]
                rows.append([*row, share([[one] for one in false]), f"{np.mean(used):.1f}"])
                print("|", " | ".join(rows[-1]), file=sys.stderr, flush=True)
    print("Right claims of five differences, and any false claim of candidates made equal:\n")
    columns = ("law, trainings", "by", "experiments", "right claims", "false", "trainings used")
    print(harness.table(columns, rows))


def table_pairs(name: str, seeds: int) -> Pairs:
    """Return the candidates on a real table, each at the rate of its best validation score."""
    made = verdict_tables.made(name)
    validation = np.nan_to_num(made["validation"][:, :, :seeds].mean(2), nan=-np.inf)
    results = made["results"][np.arange(len(validation)), validation.argmax(1), :seeds]
    return Pairs(results, float(made["step"]), made["clusters"])


VERDICTS = ("better", "worse", "equivalent", "undecided")


def on_tables(quick: bool) -> None:
    """Print what is decided on real tables."""
    rows = []
    ways = [("former", 20), ("these data", 10), ("the source", 10)]
    ways += [("these data", 20), ("the source", 20)]
    totals = np.zeros((2, len(ways), len(VERDICTS)), int)
    for name in list(verdict_tables.TABLES)[: 3 if quick else None]:
        row = [name]
        for place, (method, seeds) in enumerate(ways):
            pairs = table_pairs(name, seeds)
            for with_rope, rope in enumerate((0.0, 0.01)):
                claims = pairs.claims(method, range(len(DEFAULT_ACTIVATIONS)), seeds, rope=rope)
                words = [claim.verdict for claim in claims]
                totals[with_rope, place] += [words.count(word) for word in VERDICTS]
            row.append(" ".join(str(words.count(word)) for word in VERDICTS))
        rows.append(row)
    for row, total in zip(("all, no rope", "all"), totals, strict=True):
        rows.append([row, *(" ".join(map(str, each)) for each in total.tolist())])
    print(f"Of seven differences to relu, rope 0.01: {', '.join(VERDICTS)}:\n")
    print(harness.table(("table", *(f"{method}, {seeds}" for method, seeds in ways)), rows))


def on_digits(quick: bool) -> None:
    """Print the default comparison's differences."""
    ways = [("former", 20), ("these data", 10), ("the source", 10), ("these data", 20)]
    columns = []
    for method, seeds in ways:
        claims = table_pairs("digits", seeds).claims(method, range(8), seeds)
        columns.append(
            [
                f"{100 * c.difference.mean:+.1f} ± "
                f"{50 * (c.interval.high - c.interval.low):.1f}"
                + f" {c.verdict}"
                * (c.verdict != "undecided")
                for c in claims
            ]
        )
    rows = [[spec, *cells] for spec, *cells in zip(DEFAULT_ACTIVATIONS[1:], *columns, strict=True)]
    print("Handwritten digits, differences to relu in points of accuracy:\n")
    print(harness.table(("activation", *(f"{m}, {seeds}" for m, seeds in ways)), rows))


def on_runs(quick: bool) -> None:
    """Print what is claimed of runs of which only scores are known, where nothing is true."""
    experiments = 50 if quick else 1000
    rows, chosen = verdict_runs.false_claims(experiments)
    print(f"Scores alone, {experiments} experiments a row; any false claim, where 5% may be:\n")
    columns = ("law", "activations, seeds", "judge", "paired t, Bonferroni")
    print(harness.table(columns, rows))
    print("One learning rate against nine, nobody better, no validation score: any false claim:\n")
    print(harness.table(("seeds", "judge", "the best rate by the same scores"), chosen))


def main() -> None:
    """Print all tables, or those that are asked for."""
    quick = "--quick" in sys.argv
    names = LAW_NAMES if not quick else LAW_NAMES[:1]
    parts: dict[str, Callable[[], None]] = {
        "laws": lambda: on_laws(names, quick),
        "whole": lambda: on_whole(quick),
        "drawn": lambda: on_drawn(quick),
        "peers": lambda: on_peers(quick),
        "tables": lambda: on_tables(quick),
        "digits": lambda: on_digits(quick),
        "runs": lambda: on_runs(quick),
    }
    print(harness.header(("leakyrelu", "numpy", "scipy", "torch")))
    for name in [name for name in parts if name in sys.argv] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
