"""What the columns of a table of runs are, by their names, as people and trackers write them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from leakyrelu._compare.data.labels import Label, named
from leakyrelu._data.columns import understand
from leakyrelu._errors import InputError

__all__ = ["Columns", "is_error", "measured", "plain", "wide_to_long"]

# What a column may be, by its name in small letters with _ between words.
USUAL = {
    "activation": "activation act activation_function activation_fn activation_name act_fn "
    "act_func act_layer activation_layer nonlinearity non_linearity nonlin hidden_act "
    "hidden_activation",
    "seed": "seed random_state random_seed rng_seed seed_everything run_seed global_seed "
    "manual_seed torch_seed",
    "learning_rate": "learning_rate lr base_lr init_lr initial_lr max_lr learningrate "
    "initial_learning_rate",
    "example": "example example_id test_example sample sample_id instance instance_id item item_id",
    "split": "split split_id fold fold_id cv_fold test_fold",
    "state": "state status",
    "score": "score accuracy acc top1 top_1 top1_acc acc1 correct f1 f1_score f1_macro auc roc_auc "
    "auroc r2 dice iou miou map return reward mean_reward episode_reward bleu",
    "error": "loss error err mse mae rmse nll perplexity ppl log_loss logloss cross_entropy ce "
    "error_rate fid wer",
}
OF_TRACKERS = re.compile(r"^(params|metrics|tags|config|summary|hparams?)[./]", re.IGNORECASE)
TEST = re.compile(r"^(final_)?test_|_test$")
OF_VALIDATION = "val|valid|validation|dev|eval"
VALIDATION = re.compile(rf"^({OF_VALIDATION})_|_({OF_VALIDATION})$")
MOST_WIDE = 100  # activations that anybody would compare


def plain(name: object) -> str:
    """Return a name in small letters, without what trackers put before it."""
    return re.sub(r"[^a-z0-9]+", "_", OF_TRACKERS.sub("", str(name)).lower()).strip("_")


def measured(name: object) -> str:
    """Return what a column of scores measures: ``accuracy`` of ``metrics.test_accuracy``."""
    return VALIDATION.sub("", TEST.sub("", plain(name)))


def is_error(name: object) -> bool:
    return measured(name) in USUAL["error"].split()


class Columns:
    """The columns of a table by what they are."""

    def __init__(self, frame: pd.DataFrame, told: Mapping[str, str | None]) -> None:
        self.frame = frame
        self.names = list(frame.columns)
        self.told = told
        self.found: dict[str, Any] = {}

    def refuse(self, what: str, options: str) -> InputError:
        names = ", ".join(repr(str(name)) for name in self.names[:30])
        return InputError(f"{what}: the columns are {names}; {options}")

    def find(self, role: str, usual: Iterable[Any] | None = None) -> Any:
        """Return the column that is told, or the only one of a usual name; None if there is none.

        A column whose whole name is usual comes before those that only end in one.
        """
        option = f"--{role.replace('_', '-')} COLUMN"
        if (name := self.told.get(role)) is not None:
            same = [each for each in self.names if str(each) == name]
            same = same or [each for each in self.names if str(each).lower() == name.lower()]
            if len(same) != 1:
                raise self.refuse(f"there is no column {name!r}", f"name one of them with {option}")
            self.found[role] = same[0]
            return same[0]
        if usual is None:
            known = USUAL[role].split()
            usual = [name for name in self.names if plain(name) in known]
            usual = [n for n in usual if plain(n) == known[0]] or usual
        usual = list(usual)
        if len(usual) > 1:
            several = " or ".join(repr(str(name)) for name in usual)
            what = role.replace("_", " ")
            raise self.refuse(f"the column of the {what} may be {several}", f"say which: {option}")
        if usual:
            self.found[role] = usual[0]
        return usual[0] if usual else None

    def find_score(self, lower_is_better: bool) -> Any:
        """Find the column of test scores: of errors if lower is better, else of others.

        One without a word for its part may be of training, if there is one of validation.
        """
        wanted = USUAL["error" if lower_is_better else "score"].split()
        free = [n for n in self.names if n not in self.found.values() and measured(n) in wanted]
        tested = [name for name in free if TEST.search(plain(name))]
        alone = [name for name in free if plain(name) in wanted]
        return self.find("score", tested or (alone if alone == free else []))

    def find_validation(self) -> Any:
        """Find the validation scores of what is scored, best by a name of the same form."""
        score = self.found["score"]
        usual = [
            name
            for name in self.names
            if VALIDATION.search(plain(name))
            and measured(name) == measured(score)
            and name != score
        ]
        forms = {plain(score).replace("test", word) for word in OF_VALIDATION.split("|")}
        return self.find("validation", [n for n in usual if plain(n) in forms] or usual)


def _is_number(column: pd.Series[Any], mark: str | None) -> bool:
    found = understand(column, mark)
    return found.kind == "number" and not found.is_time and bool(found.values.notna().any())


def wide_to_long(columns: Columns, mark: str | None, notes: list[str]) -> pd.DataFrame:
    """Make a row a score of a wide table, a column an activation."""
    kept = [columns.found[role] for role in columns.found]
    unnamed = [name for name in columns.names if re.match(r"(unnamed|index$|$)", plain(name))]
    others = [name for name in columns.names if name not in kept and name not in unnamed]
    wide = [name for name in others if _is_number(columns.frame[name], mark)]
    if not 2 <= len(wide) <= MOST_WIDE or not any(
        not isinstance(named(str(name)), Label) for name in wide
    ):
        raise columns.refuse(
            "no column tells the activation, nor is there one for each activation",
            "say which it is: --activation COLUMN",
        )
    notes.append(f"Each of these columns was taken for an activation: {', '.join(map(str, wide))}.")
    frame = columns.frame[[*kept, *wide]].reset_index(drop=True)
    if "seed" not in columns.found:
        columns.found["seed"] = " row"
        frame.insert(0, " row", range(len(frame)))
    columns.found |= {"activation": " activation", "score": " score"}
    kept = [name for role, name in columns.found.items() if role not in ("activation", "score")]
    for name in wide:
        frame[name] = understand(frame[name], mark).values
    return frame.melt(kept, wide, " activation", " score")
