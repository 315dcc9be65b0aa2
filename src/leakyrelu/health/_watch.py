"""Watching a model while it trains: which units die, since when, and why."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from leakyrelu._errors import InputError
from leakyrelu._trace.calls import Call, CallTracer, batch_size, no_activation, unwrapped
from leakyrelu._trace.flow import Runs
from leakyrelu._trace.known import known
from leakyrelu._trace.names import layer_name, path_of
from leakyrelu._trace.weights import weight_at_hand
from leakyrelu.health._causes import CAUSES
from leakyrelu.health._findings import Deaths, Findings
from leakyrelu.health._layers import (
    HealthWarning,
    passes_none,
    warn_of_compiled_parts,
    without_gradient,
)
from leakyrelu.health._methods import around, check_methods, method_running, on_first_call
from leakyrelu.health._tracked import TrackedLayer
from leakyrelu.nn._model import check_model

__all__ = ["HealthWarning", "Watch", "WatchOptions", "watch"]


# Steps of a window that run without compiled code, in which no calls can be seen.
LOOKS_WHEN_COMPILED = 10


class WatchOptions(TypedDict, total=False):
    """Arguments of `watch` that others pass on."""

    window: int
    warn_above: float
    unit_axis: int | None
    mask: Callable[..., Tensor] | None
    methods: Sequence[str]
    on_death: Callable[[Deaths], None] | None


class Watch(Findings):
    """The result of `watch`, while a model trains and after: print it, or use its methods."""

    def __init__(
        self,
        model: nn.Module,
        *,
        window: int = 100,
        warn_above: float = 0.5,
        unit_axis: int | None = None,
        mask: Callable[..., Tensor] | None = None,
        methods: Sequence[str] = (),
        on_death: Callable[[Deaths], None] | None = None,
        on_window: Callable[[Watch], None] | None = None,
    ) -> None:
        check_model(model)
        if isinstance(model, nn.DataParallel):
            raise InputError(
                "a DataParallel model can't be watched, as it runs on copies that are thrown away "
                "after each step; use DistributedDataParallel"
            )
        if window < 1:
            raise InputError(f"window must be at least 1 step, but is {window}")
        check_methods(model, methods)
        super().__init__(window)
        self.model = model
        self.warn_above = warn_above
        self.methods = methods
        self.on_death = on_death
        self.on_window = on_window
        self._tracer = CallTracer(unwrapped(model), self._on_call, unit_axis, mask, self._drop)
        self._hooks: ExitStack | None = None
        self._noticing = ExitStack()  # until the first forward
        self._depth = 0  # of watched calls in a watched call
        self._running = ExitStack()  # of one forward
        self._is_running = self._is_settled = False
        self._is_evaluation = self._knows_evaluation = False
        self._runs = Runs()
        self._following = ExitStack()  # of a window, until all units have fired
        self._looks_closer = self._needs_tracer = False
        self._batch = self._seen = 0  # examples of this step and of this window
        self._warned: set[str] = set()
        self._dropped: dict[str, str] = {}  # layers that can't be watched, and why
        self._before_update: dict[str, Tensor] = {}  # weights

    # --- Starting and stopping -------------------------------------------------------------

    def start(self) -> Watch:
        """Start watching; the training loop needs no change."""
        if self._hooks is not None:
            raise RuntimeError("this watch was started already; stop it first")
        warn_of_compiled_parts(self._tracer.model)
        self._hooks = ExitStack()
        self._is_compiled = any(
            getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
            for module in self.model.modules()
        )
        if (
            getattr(self.model, "_compiled_call_impl", None) is not None
        ):  # by model.compile(): runs hooks inside
            self._hooks.callback(self._wrap_compiled_call())
        else:
            enter = self.model.register_forward_pre_hook(
                lambda _model, args, kwargs: self._before_forward(args, kwargs), with_kwargs=True
            )
            leave = self.model.register_forward_hook(
                lambda _model, _args, output: self._after_forward(output), always_call=True
            )
            self._hooks.callback(enter.remove)
            self._hooks.callback(leave.remove)
        for name in self.methods:
            self._hooks.callback(
                around(self.model, name, self._before_forward, self._after_forward)
            )
        self._noticing = on_first_call(self._tracer.model, self._notice)
        updates = register_optimizer_step_post_hook(
            lambda optimizer, *_: self._after_step(optimizer)
        )
        self._hooks.callback(updates.remove)
        return self

    def _notice(self) -> None:
        """Warn, once, if the model is run by another method than those that are watched."""
        model = self._tracer.model
        is_own = self._is_running or self._is_evaluation or torch.compiler.is_compiling()
        if is_own or not (model.training and torch.is_grad_enabled()):
            return
        self._noticing.close()
        if name := method_running(model):
            warnings.warn(
                f"the model is run by its method {name}, which is not watched; give "
                f"methods=[{name!r}], or call the model itself",
                HealthWarning,
                stacklevel=2,
            )

    def _wrap_compiled_call(self) -> Callable[[], None]:
        """Watch around the compiled forward; return a function that undoes it."""
        compiled: Any = self.model._compiled_call_impl

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._before_forward(args, kwargs)
            output = None
            try:
                output = compiled(*args, **kwargs)
                return output
            finally:
                self._after_forward(output)

        def unwrap() -> None:
            self.model._compiled_call_impl = compiled

        self.model._compiled_call_impl = watched
        return unwrap

    def stop(self, *, finish: bool = True) -> None:
        """Stop watching; the result stays.

        Parameters
        ----------
        finish : bool, default True
            If no window has ended yet, end the current one here. All ranks take part in that:
            after an error on one of them, the others would wait.
        """
        if self._hooks is None:
            return
        self._after_forward()
        self._following.close()
        self._noticing.close()
        self._hooks.close()
        self._hooks = None
        has_none = self.step > 0 and not self._history and self.failure is None
        if finish and (self._is_complete() or has_none):
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
        """Return the result up to the end of the last window, for a checkpoint."""
        if self._is_complete() and not self._is_distributed():  # a rank may save alone
            self._end_window()
        owners = [(*of, list(each)) for of, each in self._tracer.owners.items()]
        return {**super().state_dict(), "owners": owners}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from where `state_dict` was taken."""
        device = next((p.device for p in self.model.parameters()), torch.device("cpu"))
        self._load(state, device)
        self._tracer.owners = {
            (path, function): [tuple(owner) for owner in owners]
            for path, function, owners in state["owners"]
        }

    # --- One forward -----------------------------------------------------------------------

    def _before_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._is_running or self._is_evaluation:
            self._depth += 1
            return
        if torch.compiler.is_compiling():  # the call is inside a compiled function: out of reach
            return
        is_recomputed = torch._C._current_graph_task_id() != -1  # by gradient checkpointing
        is_new = self._tracked and not (self._knows_evaluation or self._is_compiled)
        if not self.model.training and is_new and self.failure is None and not is_recomputed:
            self._safely(self._see_evaluation)
            return
        if not (self.model.training and torch.is_grad_enabled()) or is_recomputed:
            return
        if self._is_complete():
            self._end_window()
        if self.failure is None:
            self._safely(self._begin_forward, args, kwargs)
        elif self._is_distributed():  # the other ranks wait for this one at the end of a window
            self.step += 1

    def _begin_forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._noticing.close()
        if self.step > 0 and not (self._tracked or self._dropped):
            raise no_activation(self.unseen)
        if self._looks_closer and self.step > 0:
            self._tracer.raise_if_mask_fits_nothing()
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
        if self._tracer.wants_to_follow and not self._needs_tracer:  # units lie otherwise now
            self._following.close()
            self._following.enter_context(self._tracer.hooked())
            self._needs_tracer, self._is_settled = True, False
        if self._is_settled:
            return
        self._tracer.follows = self._looks_closer or self._tracer.wants_to_follow
        if self._needs_tracer or self._tracer.mask is not None:
            self._tracer.begin(args, kwargs)
        if self._is_compiled or self._needs_tracer:
            # No calls are seen in compiled code: a step that is looked at runs without it.
            self._running.enter_context(torch.compiler.set_stance("force_eager"))
        if self._needs_tracer:
            self._running.enter_context(self._tracer)

    def _safely(self, look: Callable[..., None], *args: Any, key: str = "") -> None:
        """Look at something; what goes wrong there does not end the training."""
        try:
            look(*args)
        except Exception as error:
            self._drop(key, error)

    def _drop(self, key: str, error: Exception) -> None:
        """Watch a layer no more, or without a key nothing: say so once, and let the model run."""
        if isinstance(error, HealthWarning):  # warnings are errors here: the user's own wish
            raise error
        why = str(error).partition("\n")[0]
        if not isinstance(error, InputError):
            why = f"{type(error).__name__}: {why}"
        if key in self._dropped or self.failure is not None:
            return
        if key:
            self._dropped[key] = why
            self._tracked.pop(key, None)
            self._before_update.pop(key, None)
            layer, _, function = key.rpartition(" ")
            text = f"{layer} ({function}) is watched no more: {why}"
        else:
            self.failure = why
            self._before_update.clear()
            if not self._is_running:  # else after this forward
                self._following.close()
            text = f"watching ended at step {self.step}: {why}"
        warnings.warn(text, HealthWarning, stacklevel=2)

    def _follow_missing_units(self) -> None:
        """Follow the layers with units that have not fired, in the cheapest way there is.

        Modules such as `torch.nn.ReLU` get a hook; only function calls need the tracer, which
        every function of PyTorch passes through.
        """
        paths = {
            path_of(layer.layer): layer.function
            for layer in self._tracked.values()
            if not (self._has_given_up() or self._is_done(layer))
        }
        self._is_settled = not paths
        modules = dict(self._tracer.model.named_modules(remove_duplicate=False))
        plain = known().modules
        self._needs_tracer = any(
            type(modules.get(path)) not in plain
            or any(
                weights and weights not in modules for weights, _ in self._owners(path, function)
            )
            for path, function in paths.items()
        )
        if self._needs_tracer:
            self._following.enter_context(self._tracer.hooked())
            return
        for path, function in paths.items():
            hook = modules[path].register_forward_pre_hook(
                self._follower(path, function), with_kwargs=True
            )
            self._following.callback(hook.remove)

    def _follower(self, path: str, function: str) -> Callable[..., None]:
        """Return a hook for an activation module, which counts each of its calls.

        It runs between large operations, with cold caches: the less it does, the better.
        """
        owners = self._owners(path, function)
        keys = (f"{layer_name(path, number)} {function}" for number in itertools.count(1))
        found = {
            owner: (key, self._tracked[key])
            for owner, key in zip(owners, keys, strict=False)
            if key in self._tracked
        }
        before = {weights for weights, _ in owners}
        last_ran, step = "", -1
        calls: Counter[str] = Counter()

        def follow(weights: str) -> Callable[..., None]:
            def ran(*_: Any) -> None:
                nonlocal last_ran
                last_ran = weights

            return ran

        if len(before) > 1:  # some calls may be left out, as those of experts without tokens
            for weights in before:
                hook = self._module(weights).register_forward_hook(follow(weights))
                self._following.callback(hook.remove)
        else:
            last_ran = next(iter(before), "")

        def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            nonlocal step
            if not self._is_running:  # an evaluation, or recomputed by gradient checkpointing
                return
            if step != self.step:
                step = self.step
                calls.clear()
            calls[last_ran] += 1
            owner = last_ran, calls[last_ran]
            if owner not in found:
                return
            key, layer = found[owner]
            if key in self._tracked:
                try:  # not _safely, as this is what runs most
                    x = args[0] if args else kwargs["input"]
                    if not layer.layout.fits(x):
                        self._tracer.wants_to_follow = True
                        return
                    self._visit(layer, x)
                    has_mask = self._tracer.mask is not None
                    z = layer.layout.arranged(x) if has_mask else x
                    mask = self._tracer.mask_for(z, layer.axis) if has_mask else None
                    layer.count(x, mask, self._batch)
                except Exception as error:
                    self._drop(key, error)

        return look

    def _owners(self, path: str, function: str) -> list[tuple[str, int]]:
        return self._tracer.owners.get((path, function), [])

    def _has_given_up(self) -> bool:
        return self._is_compiled and self.step - self._window_start >= LOOKS_WHEN_COMPILED

    def _is_done(self, layer: TrackedLayer) -> bool:
        """Whether there is nothing more to do for a layer in this window."""
        # The examples that reach it go on being counted if not all do.
        if layer.is_settled and layer.seen >= self._seen - self._batch:
            layer.was_reached_by_all = True
        return layer.was_reached_by_all

    def _after_forward(self, output: Any = None) -> None:
        if self._depth:
            self._depth -= 1
            return
        if not (self._is_running or self._is_evaluation):
            return
        self._safely(self._running.close)
        if self._tracer.follows:
            self._safely(self._end_run, output)
        if self._is_running:
            self._is_running = False
            self.step += 1
            if self.failure is not None:
                self._following.close()
        self._is_evaluation = False

    def _end_run(self, output: Any) -> None:
        self._tracer.units.returned(output)
        self._runs.add(self._tracer.units.run)
        self.unseen = self._tracer.unseen
        self._knows_evaluation |= self._is_evaluation

    def _see_evaluation(self) -> None:
        """See where units flow in evaluation, once, if the user evaluates the model."""
        self._is_evaluation = self._tracer.follows = True
        self._running.enter_context(self._tracer.hooked())
        self._tracer.begin()
        self._running.enter_context(self._tracer)

    def _on_call(self, call: Call) -> Callable[[Tensor], None] | None:
        if call.key in self._dropped or self._is_evaluation:
            return None
        layer = self._tracked.get(call.key)
        if layer is None:
            layer = self._tracked[call.key] = TrackedLayer(call)
        layer.place(call.layout)
        layer.runs = self._runs
        if not self._looks_closer:
            self._visit(layer, call.pre_activation)
            layer.count(call.pre_activation, call.mask, self._batch)
            return None
        feeding = self._module(call.source.feeding)
        layer.look_closer(call, feeding, self._batch)
        if call.pre_activation.numel() == 0:  # no example reached it
            return None
        weight = weight_at_hand(feeding)
        if weight is not None and weight.requires_grad:
            self._before_update[call.key] = weight.detach().clone()
        self._visit(layer, call.pre_activation)

        def look_at_result(result: Tensor) -> None:
            layer.counts.update_activation(call.layout.arranged(result), call.mask)
            if result.requires_grad:
                result.register_hook(lambda g: self._safely(take_gradient, g, key=call.key))

        def take_gradient(gradient: Tensor) -> None:
            layer.gradient = gradient.detach().square().mean().sqrt()
            layer.gradient_after = None if layer.blocks_gradient else gradient.detach()

        def take_gradient_before(gradient: Tensor) -> None:
            if layer.gradient_after is not None:
                before, then = map(layer.layout.arranged, (gradient, layer.gradient_after))
                layer.no_gradient = passes_none(before, then, layer.axis)
                layer.gradient_after = None

        if call.pre_activation.requires_grad and not layer.blocks_gradient:
            call.pre_activation.register_hook(
                lambda g: self._safely(take_gradient_before, g, key=call.key)
            )
        return look_at_result

    def _module(self, path: str) -> nn.Module:
        return self._tracer.model.get_submodule(path)

    def _visit(self, layer: TrackedLayer, pre_activation: Tensor) -> None:
        """See each pre-activation that is looked at; `leakyrelu.treatment.SelfRepair` acts on it.

        To watch is to change nothing.
        """

    # --- One window ------------------------------------------------------------------------

    def _end_window(self) -> None:
        first, last = self._window_start, self.step
        if self.failure is not None:
            self._safely(self._agree_with_other_ranks)
            self._window_start = last
            return
        rows: list[dict[str, Any]] = []
        deaths: list[Deaths] = []
        for key, layer in list(self._tracked.items()):
            self._safely(self._count_examples, layer, key=key)
        self._safely(self._agree_with_other_ranks)

        def judge(key: str, layer: TrackedLayer) -> None:
            if layer.examples > 0:
                died, revived = layer.end_window(first, last)
                found = self._deaths(layer, died, first)
                row = layer.row(last, died, revived)
                deaths.extend(found)
                rows.append(row)
                self._warn(key, layer, found)
            layer.begin_window()

        for key, layer in list(self._tracked.items()):
            self._safely(judge, key, layer, key=key)
        self._safely(self._remember, rows, deaths)
        self._window_start, self._seen = last, 0
        for each in deaths:
            if self.on_death is not None:
                self.on_death(each)
        if self.on_window is not None:
            self.on_window(self)

    def _count_examples(self, layer: TrackedLayer) -> None:
        layer.settle()
        # A layer may be called in some steps only, and is judged by those.
        layer.examples = self._seen if layer.was_reached_by_all else layer.seen

    def _agree_with_other_ranks(self) -> None:
        """Count a unit as fired if it fired on any rank; a rank may not have reached a layer."""
        if not self._is_distributed():
            return
        group: Any = self.model.process_group
        # The same layer may be the first on one rank and the second on another.
        calls = self._tracer.owners.items()
        same = {
            f"{layer_name(path, number)} {function}": f"{path} {function} {weights} {call}"
            for (path, function), owners in calls
            for number, (weights, call) in enumerate(owners, start=1)
        }
        names = {same.get(key, key): key for key in (*self._tracked, *self._dropped)}
        tracked = {} if self.failure is not None else self._tracked
        tracked = {name: tracked[key] for name, key in names.items() if key in tracked}
        mine = {name: layer.units for name, layer in tracked.items()}
        dropped = [name for name, key in names.items() if key in self._dropped]
        ranks: list[Any] = [None] * torch.distributed.get_world_size(group)
        torch.distributed.all_gather_object(ranks, (mine, dropped), group)
        units: dict[str, int] = {}
        odd = {key for _, dropped in ranks for key in dropped}
        for of_rank, _ in ranks:
            odd |= {key for key in of_rank if units.setdefault(key, of_rank[key]) != of_rank[key]}
        for key in odd.intersection(tracked):
            self._drop(
                names[key], InputError("it can't be watched on another rank, or differs there")
            )
        device = next(self.model.parameters()).device
        for key in sorted(set(units) - odd):  # in one order on all ranks
            layer = tracked.get(key)
            found = torch.zeros(2, units[key], dtype=torch.uint8, device=device)
            examples = torch.zeros((), dtype=torch.int64, device=device)
            if layer is not None:
                found = torch.stack([layer.fired, layer.has_nan]).to(torch.uint8)
                examples += layer.examples
            torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group)
            torch.distributed.all_reduce(examples, torch.distributed.ReduceOp.SUM, group)
            if layer is not None:
                layer.fired, layer.has_nan = found.bool()
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
        """Warn, once, of a layer in which many units are dead."""
        dead = int(layer.dead.sum())
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
            weight = weight_at_hand(self._module(layer.feeding))
            if weight is not None and id(weight) in mine:
                weights[key] = weight
        return weights

    def _after_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self._before_update:
            self._safely(self._see_update, optimizer)

    def _see_update(self, optimizer: torch.optim.Optimizer) -> None:
        for key, weight in self._weights(optimizer).items():
            # The first update since the closer look, also with a closure, which runs the forward
            # inside the step, or after gradients have accumulated.
            before = self._before_update.pop(key, None)
            if before is not None:
                self._safely(self._compare_weight, key, weight, before, optimizer, key=key)

    def _compare_weight(
        self, key: str, weight: Tensor, before: Tensor, optimizer: torch.optim.Optimizer
    ) -> None:
        layer = self._tracked[key]
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
    unit_axis: int | None = None,
    mask: Callable[..., Tensor] | None = None,
    methods: Sequence[str] = (),
    on_death: Callable[[Deaths], None] | None = None,
    on_window: Callable[[Watch], None] | None = None,
) -> Watch:
    """Watch which units of a model die while it trains; its training does not change.

    Parameters
    ----------
    model : torch.nn.Module
        Its training forwards are watched: those in training mode and with gradients.
        Activations are found as `examine` finds them.
    window : int, default 100
        Steps (training forwards). A unit that fires in none of them is *dead*, or *stuck
        negative* if a gradient still reaches it, as with a leaky activation; see `examine`.
    warn_above : float, default 0.5
        Warn, once, of a layer in which more than this share of the units is dead.
    unit_axis : int, optional
        The axis along which the units lie; see `examine`.
    mask : callable, optional
        Called with the model's arguments, returns a bool tensor that is False for padding; see
        `examine`.
    methods : sequence of str, optional
        Methods of the model that are watched as ``forward`` is, for models that are trained by
        others: ``["evaluate_actions"]``, ``["encoder.encode"]``, or ``["forward"]`` for calls of
        ``model.forward(...)``.
    on_death : callable, optional
        Called with `Deaths` when units have died.
    on_window : callable, optional
        Called with the `Watch` at the end of each window.

    Returns
    -------
    Watch
        Use it in a ``with`` statement, or call its ``start()`` and ``stop()``. Then see
        ``table()``, ``history()``, ``deaths``, ``deaths_table()`` and ``plot()``.

    Raises
    ------
    TypeError
        If `model` is not a module.
    InputError
        If it is a `torch.nn.DataParallel`, `window` is less than 1, or `methods` has a name that
        is none.

    Warns
    -----
    HealthWarning
        If many units of a layer died; if a layer can't be watched: it is left out of the result;
        if the model can't, as it calls no known activation or `mask` does not fit; if it is run
        by a method that is not watched, which is named. The training
        goes on, with the same numbers.

    See Also
    --------
    leakyrelu.treatment.Reviver : For `on_window`: reinitialize dead units while the model trains.
    leakyrelu.treatment.SelfRepair : Watches, and corrects units that hardly fire.

    Notes
    -----
    In each window every step is looked at until all units have fired, so the verdict is exact for
    the window; firing rates are those of its first step.

    Under `torch.compile` a step that is looked at runs without compiled code, in which no calls
    can be seen. So at most the first 10 steps of a window are, and the verdict is based on these.
    A model that is called inside a compiled function, such as a whole compiled training step, is
    out of reach.

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
        unit_axis=unit_axis,
        mask=mask,
        methods=methods,
        on_death=on_death,
        on_window=on_window,
    )
