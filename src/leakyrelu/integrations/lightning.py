"""The health of a model that Lightning trains."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Unpack

from torch import nn

from leakyrelu._errors import needed_for
from leakyrelu.health._watch import Watch, WatchOptions, watch
from leakyrelu.integrations._scalars import scalars

with needed_for("leakyrelu.integrations.lightning", "lightning"):
    from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["HealthCallback"]


class _TrainingStep(nn.Module):
    """The training step of a LightningModule as the forward of a module, as `watch` needs it.

    Lightning calls the training step, which may call any modules. They have the same names here.
    """

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self._modules, self._parameters = module._modules, module._parameters
        self.forward = module.training_step


def _redirect(module: LightningModule, step: nn.Module) -> Callable[[], None]:
    """Let Lightning call `step` as the training step; return a function that undoes it."""
    original = module.training_step
    own = vars(module).get("training_step")  # as torch.compile gives it

    # Lightning reads the signature from what is wrapped.
    @functools.wraps(getattr(original, "__wrapped__", original))
    def training_step(*args: Any, **kwargs: Any) -> Any:
        return step(*args, **kwargs)

    def take_back() -> None:
        if own is None:
            del module.training_step
        else:
            vars(module)["training_step"] = own

    vars(module)["training_step"] = training_step
    return take_back


class HealthCallback(Callback):
    """Watch which units die while Lightning trains a model, and log it.

    Parameters
    ----------
    **options
        Those of `leakyrelu.watch`: window, warn_above, unit_axis, mask, methods, on_death. The
        mask is called with the arguments of the training step.

    Attributes
    ----------
    health : Watch or None
        The result; None before training has started.

    Notes
    -----
    A step is one call of ``training_step``; everything that it calls is watched, the
    LightningModule itself or parts of it. After each window, all loggers of the trainer get the
    numbers of `leakyrelu.integrations.scalars`.

    Checkpoints keep the result, and training that resumes from one continues it. Under DDP a unit
    is dead if it fires on no rank.

    Examples
    --------
    >>> import torch
    >>> from lightning.pytorch import LightningModule, Trainer
    >>> class Model(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.net = torch.nn.Sequential(
    ...             torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    ...         )
    ...
    ...     def training_step(self, batch):
    ...         return self.net(batch).square().mean()
    ...
    ...     def configure_optimizers(self):
    ...         return torch.optim.SGD(self.parameters(), 0.01)
    >>> callback = HealthCallback(window=5)
    >>> trainer = Trainer(
    ...     max_epochs=1, accelerator="cpu", callbacks=[callback], logger=False,
    ...     enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ... )
    >>> trainer.fit(Model(), torch.utils.data.DataLoader(torch.randn(80, 2), batch_size=8))
    >>> callback.health.history()[["step", "layer", "units", "examples"]]
       step  layer  units  examples
    0     5  net.1      8        40
    1    10  net.1      8        40
    """

    def __init__(self, **options: Unpack[WatchOptions]) -> None:
        self.options = options
        self.health: Watch | None = None
        self._state: dict[str, Any] | None = None
        self._take_back: Callable[[], None] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start watching."""
        model = trainer.model
        assert model is not None
        is_wrapped = model is not pl_module  # as DDP does: it is called for the training step
        self.health = watch(
            model if is_wrapped else _TrainingStep(pl_module),
            on_window=functools.partial(_log, trainer),
            **self.options,
        )
        if not is_wrapped:
            self._take_back = _redirect(pl_module, self.health.model)
        if self._state is not None:
            self.health.load_state_dict(self._state)
            self._state = None
        self.health.start()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching."""
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stop watching, but do not wait for ranks without the error."""
        if trainer.world_size == 1:
            self._stop()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop watching, if a tuner cut the training short."""
        self._stop()

    def state_dict(self) -> dict[str, Any]:
        """Return the result, for a checkpoint."""
        return {} if self.health is None else self.health.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the result of the training that is about to resume."""
        self._state = state_dict

    def _stop(self) -> None:
        if self._take_back is not None:
            self._take_back()
            self._take_back = None
        if self.health is not None:
            self.health.stop()


def _log(trainer: Trainer, health: Watch) -> None:
    found = scalars(health)
    for logger in trainer.loggers:
        logger.log_metrics(found, trainer.global_step)
