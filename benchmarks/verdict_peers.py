"""Verdicts of other packages on the same trainings.

pip install --no-deps baycomp adastop scikit-posthocs statsmodels patsy seaborn
python benchmarks/verdict_peers.py [LAW ...]

Each gets the scores of all trainings, paired by split where it can make use of it, and is asked at
5% for all differences to the reference. mlxtend's 5x2cv is not among them: it trains by itself, ten
times on halves of the data.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import harness
import numpy as np
import numpy.typing as npt
import pandas as pd
from leakyrelu.compare import crossed
from verdict_claims import load, these_data

Array = npt.NDArray[np.float64]
# +1, -1 or 0 of each candidate but the first, given (candidates, trainings).
Peer = Callable[[Array], list[int]]


def baycomp_(scores: Array) -> list[int]:
    """Correlated Bayesian t-test, divided among the comparisons."""
    import baycomp

    found = []
    sure = 1 - 0.05 / 2 / (len(scores) - 1)
    for own in scores[1:]:
        worse, better = baycomp.two_on_single(own, scores[0], runs=scores.shape[1] // 5)
        # The order of the answer is (first is better, second is better).
        found.append(1 if worse > sure else -1 if better > sure else 0)
    return found


def adastop_(scores: Array) -> list[int]:
    """Group sequential permutation tests, five trainings a step."""
    from adastop import MultipleAgentsComparator

    pairs = np.array([(0, i) for i in range(1, len(scores))])
    comparator = MultipleAgentsComparator(
        n=5, K=scores.shape[1] // 5, B=2000, comparisons=pairs, alpha=0.05, seed=0
    )
    for step in range(comparator.K):
        comparator.partial_compare(
            {str(i): own[: 5 * (step + 1)] for i, own in enumerate(scores)}, verbose=False
        )
        if comparator.is_finished:
            break
    words = {"larger": -1, "smaller": 1}
    return [words.get(comparator.decisions[str(pair)], 0) for pair in pairs]


def posthocs(scores: Array) -> list[int]:
    """Wilcoxon's paired test, with Holm's correction."""
    import scikit_posthocs

    frame = pd.DataFrame(
        [(str(i), value) for i, own in enumerate(scores) for value in own], columns=["who", "score"]
    )
    p = scikit_posthocs.posthoc_wilcoxon(
        frame, val_col="score", group_col="who", p_adjust=None, zero_method="zsplit"
    )
    each = np.array([p.loc["0", str(i)] for i in range(1, len(scores))])
    found = [0] * len(each)
    for rank, i in enumerate(each.argsort()):
        if each[i] >= 0.05 / (len(each) - rank):
            break
        found[i] = int(np.sign((scores[i + 1] - scores[0]).mean()))
    return found


PEERS: dict[str, Peer] = {
    "baycomp": baycomp_,
    "AdaStop": adastop_,
    "scikit-posthocs": posthocs,
}


def main() -> None:
    """Print right claims, and how often anything that is false is claimed of these data."""
    warnings.simplefilter("ignore")
    rows = []
    most = 30
    for argument in sys.argv[1:] or ["2x12@1", "16x8", "10x16", "values"]:
        law, _, rate = argument.partition("@")
        experiments = load(law, int(rate or 0))
        source, doubt = (part[1:, 0] for part in experiments.source)
        differ = np.abs(source) > 3 * np.sqrt(doubt)
        for trainings in (10,):
            found: dict[str, list[tuple[list[int], bool]]] = {}
            for tables, truth, unsure in list(
                zip(experiments.tables, experiments.truth, experiments.doubt, strict=True)
            )[:most]:
                own = tables[:, :trainings]
                scores = np.nanmean(own, axis=2)
                differences = {
                    str(i): these_data(own[i] - own[0], experiments.step)
                    for i in range(1, len(own))
                }
                claims = crossed.decide([(trainings, differences)], len(differences), trainings)
                signs = {"better": 1, "worse": -1}
                ours = [signs.get(claims[name].verdict, 0) for name in differences]
                true, sd = truth[1:, 0], np.sqrt(unsure[1:, 0])
                # Of candidates that are made equal: what is true of them is taken away.
                equal = scores - np.r_[0, true][:, None]
                null = {
                    name: crossed.Difference(d.mean - t, np.hypot(d.error, s), d.freedom)
                    for (name, d), t, s in zip(differences.items(), true, sd, strict=True)
                }
                false = crossed.decide([(trainings, null)], len(null), trainings)
                found.setdefault("this", []).append(
                    (ours, any(c.verdict != "undecided" for c in false.values()))
                )
                for name, peer in PEERS.items():
                    found.setdefault(name, []).append((peer(scores), any(peer(equal))))
            for name, each in found.items():
                claimed = np.array([one for one, _ in each])[:, differ]
                right = (claimed == np.sign(source[differ])).mean()
                wrong = np.mean([false for _, false in each])
                rows.append([f"{argument}, {trainings}", name, f"{right:.0%}", f"{wrong:.1%}"])
                print(*rows[-1], flush=True)
    print(harness.table(("law, trainings", "by", "right claims", "false if made equal"), rows))


if __name__ == "__main__":
    main()
