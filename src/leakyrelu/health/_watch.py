"""Watching a model while it trains: which units die, since when, and why."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from leakyrelu._errors import InputError
from leakyrelu.health._calls import (
    NO_RECTIFIER,
    RECTIFIER_MODULES,
    Call,
    CallTracer,
    batch_size,
)
from leakyrelu.health._causes import CAUSES
from leakyrelu.health._findings import Deaths, Findings
from leakyrelu.health._layers import without_gradient
from leakyrelu.health._tracked import TrackedLayer

__all__ = ["HealthWarning", "Watch", "watch"]


# Steps of a window that run without compiled code, as it shows no calls.
LOOKS_WHEN_COMPILED = 10


class HealthWarning(UserWarning):
    """Many units of a layer died."""


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model itself, whose layers have the names that the user gave them."""
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile's
            model = inner
        else:
            return model


class Watch(Findings):
    """Counts which units fire while a model trains; made by `watch`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 100,
        warn_above: float = 0.5,
        self_repair: float = 0.0,
        unit_axis: int | None = None,
        mask: Callable[..., Tensor] | None = None,
        on_death: Callable[[Deaths], None] | None = None,
        on_window: Callable[[Watch], None] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module, but is {type(model).__name__}")
        if isinstance(model, nn.DataParallel):
            raise InputError(
                "a DataParallel model runs on copies that are thrown away after each step, so "
                "they can't be watched; use DistributedDataParallel"
            )
        if window < 1:
            raise InputError(f"window must be at least 1 step, but is {window}")
        super().__init__(window)
        self.model = model
        self.warn_above = warn_above
        if self_repair < 0:
            raise InputError(f"self_repair must be 0 or more, but is {self_repair}")
        self.self_repair = self_repair
        self.on_death = on_death
        self.on_window = on_window
        self._tracer = CallTracer(_unwrapped(model), self._on_call, unit_axis, mask)
        self._hooks: ExitStack | None = None
        self._running = ExitStack()  # of one forward
        self._is_running = self._is_settled = False
        self._following = ExitStack()  # of a window, until all units have fired
        self._looks_closer = self._needs_tracer = False
        self._batch = self._seen = 0  # examples of this step and of this window
        self._warned: set[str] = set()
        self._before_update: dict[str, Tensor] = {}  # weights

    # --- Starting and stopping -------------------------------------------------------------

    def start(self) -> Watch:
        """Begin to watch; the training loop needs no change."""
        if self._hooks is not None:
            raise RuntimeError("this watch has been started already; stop it first")
        self._hooks = ExitStack()
        self._is_compiled = any(
            module._compiled_call_impl is not None or hasattr(module, "_orig_mod")
            for module in self.model.modules()
        )
        if self.model._compiled_call_impl is not None:  # by model.compile(): runs hooks inside
            self._hooks.callback(self._wrap_compiled_call())
        else:
            enter = self.model.register_forward_pre_hook(
                lambda _model, args, kwargs: self._before_forward(args, kwargs), with_kwargs=True
            )
            leave = self.model.register_forward_hook(
                lambda *_: self._after_forward(), always_call=True
            )
            self._hooks.callback(enter.remove)
            self._hooks.callback(leave.remove)
        updates = register_optimizer_step_post_hook(
            lambda optimizer, *_: self._after_step(optimizer)
        )
        self._hooks.callback(updates.remove)
        return self

    def _wrap_compiled_call(self) -> Callable[[], None]:
        """Watch around the compiled forward; return what takes that back."""
        compiled: Any = self.model._compiled_call_impl

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._before_forward(args, kwargs)
            try:
                return compiled(*args, **kwargs)
            finally:
                self._after_forward()

        def unwrap() -> None:
            self.model._compiled_call_impl = compiled

        self.model._compiled_call_impl = watched
        return unwrap

    def stop(self, *, finish: bool = True) -> None:
        """Stop watching; what was found stays.

        Parameters
        ----------
        finish : bool, default True
            Whether, if no window has ended yet, the one that was begun ends here. That takes
            all ranks: after an error on one of them the others would be waited for.
        """
        if self._hooks is None:
            return
        self._after_forward()
        self._following.close()
        self._hooks.close()
        self._hooks = None
        if finish and (self._is_complete() or (self.step > 0 and not self._history)):
            self._end_window()

    def _is_complete(self) -> bool:
        return self.step - self._window_start == self.window

    def _is_distributed(self) -> bool:
        return isinstance(self.model, nn.parallel.DistributedDataParallel)

    def __enter__(self) -> Watch:
        return self.start()

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop(finish=kind is None or not self._is_distributed())

    def state_dict(self) -> dict[str, Any]:
        """Return what was found up to the end of the last window, for a checkpoint."""
        if self._is_complete() and not self._is_distributed():  # a rank may save alone
            self._end_window()
        return super().state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self._load(state, device)

    # --- One forward -----------------------------------------------------------------------

    def _before_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if torch.compiler.is_compiling():  # the call is inside a compiled function: out of reach
            return
        is_recomputed = torch._C._current_graph_task_id() != -1  # by gradient checkpointing
        if not (self.model.training and torch.is_grad_enabled()) or is_recomputed:
            return
        if self.step > 0 and not self._tracked:
            raise InputError(NO_RECTIFIER)
        if self._looks_closer and self.step > 0:
            self._tracer.raise_if_mask_fits_nothing()
        if self._is_complete():
            self._end_window()
        offset = self.step - self._window_start
        self._looks_closer = offset == 0
        self._is_running = True
        self._batch = batch_size(args, kwargs)
        if not self._has_given_up():
            self._seen += self._batch
        if offset == 0:
            self._following.close()
            self._following.enter_context(self._tracer.hooked())
            self._needs_tracer, self._is_settled = True, False
        elif (offset - 1) & (offset - 2) == 0 or self._has_given_up():
            # Layers find out which units have fired after 1, 2, 4, 8 ... looks.
            self._following.close()
            self._follow_missing_units()
        if self._is_settled:
            return
        if self._needs_tracer or self._tracer.mask is not None:
            self._tracer.begin(args, kwargs)
        if self._is_compiled or self._needs_tracer:
            # Compiled code shows no calls: a step that is looked at runs without it.
            self._running.enter_context(torch.compiler.set_stance("force_eager"))
        if self._needs_tracer:
            self._running.enter_context(self._tracer)

    def _follow_missing_units(self) -> None:
        """Follow the layers of which some units have not fired, in the cheapest way there is.

        Modules such as `torch.nn.ReLU` have a hook; only calls that are made by functions need
        the tracer, which every function of PyTorch passes through.
        """
        paths = {
            layer.layer.partition(" #")[0]: layer.function
            for layer in self._tracked.values()
            if not (self._has_given_up() or self._is_done(layer))
        }
        self._is_settled = not paths
        modules = dict(self._tracer.model.named_modules(remove_duplicate=False))
        self._needs_tracer = any(type(modules.get(path)) not in RECTIFIER_MODULES for path in paths)
        if self._needs_tracer:
            self._following.enter_context(self._tracer.hooked())
            return
        for path, function in paths.items():
            hook = modules[path].register_forward_pre_hook(
                self._follower(path, function), with_kwargs=True
            )
            self._following.callback(hook.remove)

    def _follower(self, path: str, function: str) -> Callable[..., None]:
        """Return a hook for a module that calls the rectifier, which counts each of its calls.

        It runs between large operations, with cold caches: what it does not do counts.
        """
        names = (path if number == 1 else f"{path} #{number}" for number in itertools.count(1))
        keys = itertools.takewhile(self._tracked.__contains__, (f"{n} {function}" for n in names))
        layers = [self._tracked[key] for key in keys]
        step, calls = -1, 0

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal step, calls
            if not self._is_running:  # an evaluation, or computed again by gradient checkpointing
                return
            if step != self.step:
                step, calls = self.step, 0
            calls += 1
            if calls > len(layers):
                return
            layer, x = layers[calls - 1], args[0] if args else kwargs["input"]
            if self.self_repair:
                self._repair(layer, x)
            mask = None if self._tracer.mask is None else self._tracer.mask_for(x, layer.axis)
            layer.count(x, mask, self._batch)

        return look

    def _has_given_up(self) -> bool:
        return self._is_compiled and self.step - self._window_start >= LOOKS_WHEN_COMPILED

    def _is_done(self, layer: TrackedLayer) -> bool:
        """Whether there is nothing more to do for a layer in this window."""
        is_to_repair = self.self_repair > 0 and layer.repair is not None
        return layer.is_settled and not is_to_repair

    def _after_forward(self) -> None:
        if self._is_running:
            self._is_running = False
            self._running.close()
            self.step += 1

    def _on_call(self, call: Call) -> Callable[[Tensor], None] | None:
        layer = self._tracked.get(call.key)
        if layer is None:
            layer = self._tracked[call.key] = TrackedLayer(call)
        if not self._looks_closer:
            self._repair(layer, call.pre_activation)
            layer.count(call.pre_activation, call.mask, self._batch)
            return None
        feeding = self._module(call.feeding)
        layer.look_closer(call, feeding, self._batch)
        weight = getattr(feeding, "weight", None)
        if isinstance(weight, Tensor) and weight.requires_grad:
            self._before_update[call.key] = weight.detach().clone()
        self._repair(layer, call.pre_activation)

        def look_at_result(result: Tensor) -> None:
            layer.counts.update_activation(result, call.mask)
            if result.requires_grad:
                result.register_hook(take_gradient)

        def take_gradient(gradient: Tensor) -> None:
            layer.gradient = gradient.detach().square().mean().sqrt()

        return look_at_result

    def _module(self, path: str) -> nn.Module:
        return self._tracer.model.get_submodule(path)

    # --- Self-repair -----------------------------------------------------------------------

    def _repair(self, layer: TrackedLayer, pre_activation: Tensor) -> None:
        """Push the units that hardly fire up, and those that always do down."""
        push = layer.repair
        if self.self_repair == 0 or push is None or not pre_activation.requires_grad:
            return

        def correct(gradient: Tensor) -> Tensor:
            shape = [1] * gradient.ndim
            shape[layer.axis] = -1
            # As strong as the gradient of those that get one; if none does, as that of a mean.
            passing = gradient.count_nonzero()
            size = gradient.abs().sum() / passing.clamp(min=1)
            size = torch.where(passing > 0, size, 1 / gradient.numel())
            return gradient + self.self_repair * size * push.view(shape).to(gradient.dtype)

        pre_activation.register_hook(correct)

    # --- One window ------------------------------------------------------------------------

    def _end_window(self) -> None:
        first, last = self._window_start, self.step
        rows: list[dict[str, Any]] = []
        deaths: list[Deaths] = []
        for key, layer in self._tracked.items():
            layer.settle()
            # A layer may be called in some steps only, and is judged by these.
            layer.examples = self._seen if layer.is_settled else layer.seen
            self._agree_with_other_ranks(layer)
            if layer.examples > 0:
                died, revived = layer.end_window(first, last)
                found = self._deaths(layer, died, first) if layer.blocks_gradient else []
                deaths += found
                self._warn(key, layer, found)
                rows.append(layer.row(last, died, revived))
            layer.begin_window()
        self._remember(rows, deaths)
        self._window_start, self._seen = last, 0
        for each in deaths:
            if self.on_death is not None:
                self.on_death(each)
        if self.on_window is not None:
            self.on_window(self)

    def _agree_with_other_ranks(self, layer: TrackedLayer) -> None:
        """Count a unit as fired if it fired on any of the processes that share the training."""
        if not self._is_distributed():
            return
        group = self.model.process_group
        found = torch.stack([layer.fired, layer.has_nan]).to(torch.uint8)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group)
        layer.fired, layer.has_nan = found.bool()
        examples = torch.tensor(layer.examples, device=layer.device)
        torch.distributed.all_reduce(examples, torch.distributed.ReduceOp.SUM, group)
        layer.examples = int(examples)

    def _deaths(self, layer: TrackedLayer, died: Tensor, first: int) -> list[Deaths]:
        """Return the deaths of a layer, by cause."""
        causes = list(CAUSES)
        return [
            Deaths(
                layer.layer,
                (died & (layer.cause == index)).nonzero().squeeze(1).tolist(),
                layer.units,
                max(first - self.window, 0),
                first,
                causes[index],
                **layer.updates_before,
            )
            for index in layer.cause[died].unique().tolist()
        ]

    def _warn(self, key: str, layer: TrackedLayer, deaths: list[Deaths]) -> None:
        """Warn, once, of a layer many of whose units are dead."""
        dead = int(layer.is_silent.sum())
        if deaths and dead > self.warn_above * layer.units and key not in self._warned:
            self._warned.add(key)
            warnings.warn(
                f"{dead} of {layer.units} units of {layer.layer} are dead; {deaths[-1]}",
                HealthWarning,
                stacklevel=2,
            )

    # --- Optimizers ------------------------------------------------------------------------

    def _weights(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Return, by layer, the weights that this optimizer trains."""
        mine = {id(p) for group in optimizer.param_groups for p in group["params"]}
        weights = {}
        for key, layer in self._tracked.items():
            weight = getattr(self._module(layer.feeding), "weight", None)
            if isinstance(weight, Tensor) and id(weight) in mine:
                weights[key] = weight
        return weights

    def _after_step(self, optimizer: torch.optim.Optimizer) -> None:
        if not self._before_update:
            return
        for key, weight in self._weights(optimizer).items():
            # The first update since the closer look, be it made with a closure, which runs the
            # forward inside the step, or after gradients have accumulated.
            layer, before = self._tracked[key], self._before_update.pop(key, None)
            if before is None:
                continue
            if weight.grad is not None:
                layer.updates["gradient_norm"] = float(weight.grad.norm())
                layer.zero_gradient = without_gradient(weight.grad, layer.units)
            change = (weight.detach() - before).norm()
            layer.updates["update_size"] = float(change / before.norm())
            layer.updates["learning_rate"] = next(
                float(group["lr"])
                for group in optimizer.param_groups
                if any(parameter is weight for parameter in group["params"])
            )


def watch(
    model: nn.Module,
    *,
    window: int = 100,
    warn_above: float = 0.5,
    self_repair: float = 0.0,
    unit_axis: int | None = None,
    mask: Callable[..., Tensor] | None = None,
    on_death: Callable[[Deaths], None] | None = None,
    on_window: Callable[[Watch], None] | None = None,
) -> Watch:
    """Watch which units of a model die while it trains.

    Parameters
    ----------
    model : torch.nn.Module
        Its training forwards are watched: those in training mode and with gradients.
        Rectifiers are found as `examine` finds them.
    window : int, default 100
        Steps (training forwards). A unit that fires in none of them is *dead*, or *stuck
        negative* if the activation is leaky.
    warn_above : float, default 0.5
        A layer of which more than this share is dead is warned of, once.
    self_repair : float, default 0
        If above 0, units that fire at less than 5% of the positions get this small a gradient
        that raises their pre-activation, and those that fire at more than 95% one that lowers
        it, in units of the mean absolute gradient of the layer's pre-activations. This changes
        how the model trains.
    unit_axis : int, optional
        The axis that numbers the units; see `examine`.
    mask : callable, optional
        Called as the model is, returns a bool tensor that is False for padding; see `examine`.
    on_death : callable, optional
        Called with `Deaths` when units died.
    on_window : callable, optional
        Called with the `Watch` when a window has ended.

    Returns
    -------
    Watch
        Use it in a ``with`` statement, or call its ``start()`` and ``stop()``. Then see
        ``report()``, ``history()``, ``deaths``, ``deaths_table()`` and ``plot()``.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If it is a `torch.nn.DataParallel`, or `window` is less than 1.

    Notes
    -----
    In each window every step is looked at until all units have fired, so that the verdict is
    exact for the window; firing rates are taken from its first step.

    `self_repair` is after the practice of the speech toolkits Kaldi (self-repair [1]_) and icefall
    (its balancers), which keep the mean derivative of each ReLU between these limits. The rates
    are those of the first batch of the window.

    Under `torch.compile` a step that is looked at runs without compiled code, as that shows no
    calls; so at most the first 10 steps of a window are, and the verdict rests on these. A model
    that is called inside a compiled function, such as a whole compiled training step, is out of
    reach.

    References
    ----------
    .. [1] D. Povey et al., Kaldi, ``nnet3``: "self-repair" of nonlinearities,
       https://kaldi-asr.org/doc/dnn3.html

    Examples
    --------
    >>> import torch
    >>> from leakyrelu.health import watch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    >>> _ = model[0].bias.data.copy_(torch.tensor([-100.0, 0.0, 100.0]))
    >>> with watch(model, window=5) as health:
    ...     for _ in range(5):
    ...         model(torch.randn(50, 2)).mean().backward()
    >>> print(health.summary)
    1 of 3 units are dead, most in 1 (1 of 3), 1 of them born dead (window: step 0 to 5, 250
    examples).
    """
    return Watch(
        model,
        window=window,
        warn_above=warn_above,
        self_repair=self_repair,
        unit_axis=unit_axis,
        mask=mask,
        on_death=on_death,
        on_window=on_window,
    )
