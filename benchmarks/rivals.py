"""How else the trials of a comparison are trained: one network after another, or by JAX.

`loop` is what one would write by hand, and what the objectives for Optuna and Ray Tune call.
All train as `leakyrelu.compare` does: its splits, batches of one size, Adam, a cosine schedule
by the step, and looks at 11 moments: loss and units that never fire over 512 training examples,
the gradient of each weight matrix by 128 of them, and the accuracy on the validation part.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import optuna
import torch
from ray import tune
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu._compare.data.task import Task
from leakyrelu._compare.training.train import Experiment
from leakyrelu._compare.trial import Key
from leakyrelu.activations import parse

ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.GELU, nn.SiLU)
CORES = len(os.sched_getaffinity(0))


def moments(epochs: int, looks: bool) -> set[int]:
    """Return the epochs after which a look is taken."""
    return set(np.linspace(0, epochs, 11).round().astype(int).tolist()) if looks else set()


def loop(
    make_model: Callable[[], nn.Module],
    task: Task,
    seed: int,
    rate: float,
    epochs: int,
    looks: bool = True,
) -> float:
    """Train one network, and return its accuracy on the test part."""
    torch.manual_seed(seed)
    split = task.split(seed)
    X, y = torch.from_numpy(task.X), torch.from_numpy(task.y)
    if task.is_table:
        mean, std = X[split.train].mean(0), X[split.train].std(0)
        X = (X - mean) / torch.where(std > 1e-6, std, 1.0)
    x_train, y_train = X[split.train], y[split.train]
    model = make_model()
    fired: dict[nn.Module, torch.Tensor] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], output: object) -> None:
        x = inputs[0]
        fired[module] = (x > 0).flatten(2).any(2).any(0) if x.ndim > 2 else (x > 0).any(0)

    def look() -> None:
        model.eval()
        hooks = [
            m.register_forward_hook(note) for m in model.modules() if isinstance(m, ACTIVATIONS)
        ]
        with torch.no_grad():
            F.cross_entropy(model(x_train[:512]), y_train[:512]).item()
            _ = [1 - one.float().mean().item() for one in fired.values()]
            for hook in hooks:
                hook.remove()
            accuracy(split.validation)
        weights = [p for p in model.parameters() if p.ndim > 1]
        loss = F.cross_entropy(model(x_train[:128]), y_train[:128])
        _ = [g.square().mean().sqrt().item() for g in torch.autograd.grad(loss, weights)]
        model.train()

    def accuracy(rows: Any) -> float:
        return (model(X[rows]).argmax(1) == y[rows]).float().mean().item()

    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    steps = len(y_train) // 64
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    for epoch in range(epochs + 1):
        if epoch:
            for rows in torch.randperm(len(y_train))[: steps * 64].split(64):
                optimizer.zero_grad()
                F.cross_entropy(model(x_train[rows]), y_train[rows]).backward()
                optimizer.step()
                schedule.step()
        if epoch in moments(epochs, looks):
            look()
    model.eval()
    with torch.no_grad():
        return accuracy(split.test)


def by_loop(
    experiment: Experiment, make_model: Any, keys: list[Key], looks: bool = True
) -> list[float]:
    """Train the trials one after the other, and return their test accuracies."""
    task, epochs = experiment.task, experiment.settings.epochs
    return [loop(make_model, task, seed, rate, epochs, looks) for _, rate, seed in keys]


def by_optuna(experiment: Experiment, make_model: Any, keys: list[Key]) -> None:
    """Train with Optuna, in as many processes as there are cores, of one thread each."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        journal = str(Path(folder, "journal"))
        study = optuna.create_study(
            study_name="rates", storage=_journal(journal), direction="maximize"
        )
        for _, rate, seed in keys:
            study.enqueue_trial({"seed": seed, "rate": rate})
        shares = [len(keys[number::CORES]) for number in range(CORES)]
        work = joblib.delayed(_optuna_worker)
        joblib.Parallel(CORES)(work(experiment, make_model, journal, n) for n in shares)
        assert len(study.trials) == len(keys)


def _journal(file: str) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(file))


def _optuna_worker(experiment: Experiment, make_model: Any, journal: str, trials: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)

    def objective(trial: optuna.Trial) -> float:
        seed = trial.suggest_int("seed", 0, 1000)
        rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
        return loop(make_model, experiment.task, seed, rate, experiment.settings.epochs)

    optuna.load_study(study_name="rates", storage=_journal(journal)).optimize(objective, trials)


def by_ray_tune(experiment: Experiment, make_model: Any, keys: list[Key]) -> None:
    """Train with Ray Tune, a trial to a core, of one thread each; Ray has been started."""

    def trainable(config: dict[str, Any], experiment: Any) -> dict[str, float]:
        torch.set_num_threads(1)
        rate, seed = config["trial"]
        epochs = experiment.settings.epochs
        return {"accuracy": loop(make_model, experiment.task, seed, rate, epochs)}

    function = tune.with_parameters(trainable, experiment=experiment)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        found = tune.Tuner(
            tune.with_resources(function, {"cpu": 1}),
            param_space={"trial": tune.grid_search([key[1:] for key in keys])},
            tune_config=tune.TuneConfig(metric="accuracy", mode="max", reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
    assert len(found) == len(keys)
    assert not found.errors


class Jax:
    """Multilayer perceptrons as one `jax.vmap`, compiled for a number of networks.

    Parameters
    ----------
    experiment : Experiment
        Of the networks that `compare` makes, with relu, elu or prelu.
    spec : str
    keys : list of Key
        The trials that train together.
    """

    def __init__(self, experiment: Experiment, spec: str, keys: list[Key]) -> None:
        import jax

        task, settings = experiment.task, experiment.settings
        self._task, self.epochs = task, settings.epochs
        self.rates = np.array([rate for _, rate, _ in keys], np.float32)
        self.seeds = np.array([seed for _, _, seed in keys])
        sizes = [task.X.shape[1], *[settings.width] * settings.depth, len(task.classes)]
        steps = len(task.split(0).train) // settings.batch_size
        make, epoch, look, score = _jax_functions(
            spec, sizes, settings.batch_size, steps, settings.epochs * steps
        )
        self.make, self.look, self.score = (jax.jit(jax.vmap(f)) for f in (make, look, score))
        self.epoch = jax.jit(jax.vmap(epoch), donate_argnums=0)

    def __call__(self, looks: bool = True) -> list[float]:
        """Train all networks and return their test accuracies; the first call compiles."""
        state, parts = self.make(self.seeds), self._parts()
        for number in range(self.epochs + 1):
            if number:
                state = self.epoch(state, *parts["train"], self.rates)
            if number in moments(self.epochs, looks):
                found = self.look(state, *parts["train"])
                scores = self.score(state, *parts["validation"])
                _ = [np.asarray(x) for x in (*found, scores)]
        scores: list[float] = self.score(state, *parts["test"]).tolist()
        return scores

    def _parts(self) -> dict[str, Any]:
        """Split and scale the examples for each network."""
        task = self._task
        by_seed = {}
        for seed in set(self.seeds.tolist()):
            split = task.split(seed)
            mean, std = task.X[split.train].mean(0), task.X[split.train].std(0)
            by_seed[seed] = split, (task.X - mean) / np.where(std > 1e-6, std, 1.0)
        parts = {}
        for name in ("train", "validation", "test"):
            rows = {seed: getattr(split, name) for seed, (split, _) in by_seed.items()}
            parts[name] = (
                np.stack([by_seed[s][1][rows[s]] for s in self.seeds.tolist()], dtype=np.float32),
                np.stack([task.y[rows[s]] for s in self.seeds.tolist()]),
            )
        return parts


def _jax_functions(spec: str, sizes: list[int], batch: int, steps: int, total: int) -> Any:
    """Return functions of one network: make it, train an epoch, look at it, score it."""
    import jax
    from jax import lax, nn
    from jax import numpy as jnp

    def act(x: Any, slope: Any) -> Any:
        if spec == "prelu":
            return jnp.where(x > 0, x, slope * x)
        return nn.elu(x) if spec == "elu" else nn.relu(x)

    def forward(parameters: Any, x: Any) -> tuple[Any, list[Any]]:
        before = []
        *hidden, (weight, bias, _) = parameters
        for w, b, slope in hidden:
            before.append(x @ w + b)
            x = act(before[-1], slope)
        return x @ weight + bias, before

    def loss_of(parameters: Any, x: Any, y: Any) -> Any:
        logits = nn.log_softmax(forward(parameters, x)[0])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def make(seed: Any) -> Any:
        key = jax.random.key(seed)
        parameters = []
        for inputs, outputs in pairwise(sizes):
            key, own = jax.random.split(key)
            weight = jax.random.normal(own, (inputs, outputs)) * (2 / inputs) ** 0.5
            parameters.append((weight, jnp.zeros(outputs), jnp.float32(0.25)))
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        return parameters, zeros, zeros, jnp.float32(0), key

    def epoch(state: Any, x: Any, y: Any, rate: Any) -> Any:
        *_, key = state
        key, own = jax.random.split(key)
        order = jax.random.permutation(own, len(y))[: steps * batch].reshape(steps, batch)

        def step(carry: Any, rows: Any) -> tuple[Any, None]:
            parameters, first, second, t = carry
            g = jax.grad(loss_of)(parameters, x[rows], y[rows])
            now = rate * 0.5 * (1 + jnp.cos(jnp.pi * t / total))
            t = t + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, g)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, g)
            c1, c2 = 1 - 0.9**t, 1 - 0.999**t
            parameters = jax.tree.map(
                lambda p, m, v: p - now * (m / c1) / (jnp.sqrt(v / c2) + 1e-8),
                parameters,
                first,
                second,
            )
            return (parameters, first, second, t), None

        carry, _ = lax.scan(step, state[:4], order)
        return *carry, key

    def look(state: Any, x: Any, y: Any) -> Any:
        parameters = state[0]
        _, before = forward(parameters, x[:512])
        never = jnp.stack([1 - (z > 0).any(0).mean() for z in before])
        gradients = jax.grad(loss_of)(parameters, x[:128], y[:128])
        sizes = jnp.stack([jnp.sqrt(jnp.square(w).mean()) for w, _, _ in gradients])
        return loss_of(parameters, x[:512], y[:512]), never, sizes

    def score(state: Any, x: Any, y: Any) -> Any:
        return (forward(state[0], x)[0].argmax(1) == y).mean()

    return make, epoch, look, score


def perceptron(task: Task, spec: str, depth: int, width: int) -> Callable[[], nn.Module]:
    """Return a function that makes the network of `compare`, as one would write it."""
    return functools.partial(_perceptron, task.X.shape[1], len(task.classes), spec, depth, width)


def _perceptron(inputs: int, outputs: int, spec: str, depth: int, width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for fan_in in [inputs, *[width] * (depth - 1)]:
        layers += [nn.Linear(fan_in, width), parse(spec).module()]
        nn.init.kaiming_normal_(layers[-2].weight)
    return nn.Sequential(*layers, nn.Linear(width, outputs))
