"""The health of a model that the Trainer of Hugging Face's Transformers trains."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from leakyrelu._errors import needed_for
from leakyrelu.health._watch import Watch, WatchOptions, watch
from leakyrelu.integrations._scalars import scalars

with needed_for("leakyrelu.integrations.huggingface", "huggingface"):
    from transformers import (
        Trainer,
        TrainerCallback,
        TrainerControl,
        TrainerState,
        TrainingArguments,
    )

__all__ = ["HealthCallback"]

FILE = "health.pt"  # in the folder of a checkpoint


class HealthCallback(TrainerCallback):
    """Watch which units die while a `transformers.Trainer` trains a model, and log it.

    Parameters
    ----------
    trainer : transformers.Trainer
        The trainer to which the callback is added; its ``log`` reaches everything in
        ``report_to``.
    by_layer : bool, default False
        Whether to log the numbers of each layer, too, not only those of the whole model.
    **options
        Those of `leakyrelu.watch`: window, warn_above, unit_axis, mask, methods, on_death. For a
        model with one sequence of tokens, the mask is the attention mask by default, and None for
        none.

    Attributes
    ----------
    health : Watch or None
        The result; None before training has started.

    Notes
    -----
    A step of the window is one forward; with gradient accumulation, one of the trainer's steps
    has several. The numbers are those of `leakyrelu.integrations.scalars`.

    Checkpoints keep the result, and training that resumes from one continues it. Under DDP a unit
    is dead if it fires on no rank.

    Examples
    --------
    >>> import torch
    >>> from transformers import BertConfig, BertForSequenceClassification
    >>> from transformers import Trainer, TrainingArguments
    >>> config = BertConfig(
    ...     vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
    ...     intermediate_size=16, hidden_act="relu",
    ... )
    >>> example = {"input_ids": torch.arange(5), "labels": 1}
    >>> trainer = Trainer(
    ...     BertForSequenceClassification(config),
    ...     TrainingArguments("bert", max_steps=10, report_to=[], disable_tqdm=True, use_cpu=True),
    ...     train_dataset=[example] * 80,
    ... )
    >>> callback = HealthCallback(trainer, window=5)
    >>> trainer.add_callback(callback)
    >>> _ = trainer.train()
    {'health/dead': ...
    >>> callback.health.history()[["step", "units", "examples"]]
       step  units  examples
    0     5     16        40
    1    10     16        40
    """

    def __init__(
        self, trainer: Trainer, *, by_layer: bool = False, **options: Unpack[WatchOptions]
    ) -> None:
        self.trainer = trainer
        self.by_layer = by_layer
        self.options = options
        self.health: Watch | None = None
        self._resumed_from: Any = None
        self._follow(trainer)

    def _follow(self, trainer: Trainer) -> None:
        """See how training begins and ends: callbacks learn of no checkpoint and no error."""
        train = trainer.train

        @functools.wraps(train)
        def followed(resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
            self._resumed_from = resume_from_checkpoint
            try:
                result = train(resume_from_checkpoint, *args, **kwargs)
            except BaseException:
                if trainer.args.world_size == 1:  # else not to wait for ranks that go on
                    self._stop()
                raise
            self._stop()
            return result

        trainer.train = followed  # type: ignore[method-assign]

    # --- Called by the trainer -------------------------------------------------------------

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start watching."""
        self._stop()  # the trainer may start over, with smaller batches
        options: WatchOptions = {"mask": _mask_of(self.trainer.model), **self.options}
        self.health = watch(self.trainer.model_wrapped, on_window=self._log, **options)
        if state.global_step > 0:
            self._resume(args, state)
        self.health.start()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop watching after the last step, before the last log and checkpoint."""
        if control.should_training_stop:
            self._stop()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Save the result in the checkpoint."""
        folder = _checkpoint(args, state)
        if self.health is not None and state.is_world_process_zero and folder.is_dir():
            torch.save(self.health.state_dict(), folder / FILE)

    # --- Watching --------------------------------------------------------------------------

    def _resume(self, args: TrainingArguments, state: TrainerState) -> None:
        assert self.health is not None
        known = isinstance(self._resumed_from, (str, Path))
        file = (Path(self._resumed_from) if known else _checkpoint(args, state)) / FILE
        if file.exists():
            self.health.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        else:
            warnings.warn(
                f"{file} does not exist, so the health before resuming is unknown", stacklevel=2
            )

    def _log(self, health: Watch) -> None:
        should_log = self.trainer.control.should_log
        self.trainer.log(scalars(health, by_layer=self.by_layer))
        self.trainer.control.should_log = should_log  # the trainer takes this for its own log

    def _stop(self) -> None:
        if self.health is not None:
            self.health.stop()


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    assert args.output_dir is not None
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


def _mask_of(model: Any) -> Callable[..., Tensor] | None:
    """Return the mask of a model that takes one sequence of tokens, which all its layers see."""
    takes_tokens = getattr(model, "main_input_name", None) == "input_ids"
    if not takes_tokens or getattr(model.config, "is_encoder_decoder", False):
        return None
    takes_mask = "attention_mask" in inspect.signature(model.forward).parameters
    return _attention_mask if takes_mask else None


def _attention_mask(*, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> Tensor:
    return torch.ones_like(input_ids) if attention_mask is None else attention_mask
