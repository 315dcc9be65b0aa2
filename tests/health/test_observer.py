"""An observer never ends the user's run, nor changes its numbers, whatever goes wrong in it."""

import copy
import importlib
import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations

from leakyrelu import InputError, examine
from leakyrelu.health import HealthWarning, watch

pytestmark = pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")
STEPS = 9


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.second = nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(5, 1)

    def forward(self, x):
        return self.last(self.drop(F.relu(self.second(self.act(self.first(x))))))


def inputs(step):
    return torch.randn(7, 3, generator=torch.Generator().manual_seed(step))


def trained(model, observe=None, inputs=inputs, window=4, **options):
    """Train a copy; return the losses, the parameters at the end, and what was observed."""
    model = copy.deepcopy(model)
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    observer = observe(model, window=window, **options) if observe else None
    if observer:
        observer.start()
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        outputs = model(inputs(step))
        loss = sum(x.square().sum() for x in outputs)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    if observer:
        observer.stop()
    return losses, list(model.state_dict().values()), observer


def check_same(model, inputs=inputs, **options):
    losses, weights, _ = trained(model, inputs=inputs)
    again, after, observer = trained(model, watch, inputs, **options)
    for was, now in zip((*losses, *weights), (*again, *after), strict=True):
        assert torch.equal(was.nan_to_num(), now.nan_to_num())
    return observer


HERE = "leakyrelu.health._watch."
CALLS = "leakyrelu._trace.calls."
TRACKED = "leakyrelu.health._tracked."
STEPS_OF_OURS = [
    *(f"{HERE}{name}" for name in ("batch_size", "known", "layer_name", "path_of")),
    *(f"{HERE}{name}" for name in ("weight_at_hand", "without_gradient", "TrackedLayer")),
    *(
        f"{HERE}Watch.{name}"
        for name in (
            *("_begin_forward", "_follow_missing_units", "_follower", "_has_given_up", "_is_done"),
            *("_on_call", "_module", "_visit", "_count_examples", "_agree_with_other_ranks"),
            *("_deaths", "_warn", "_weights", "_see_update", "_compare_weight", "_remember"),
        )
    ),
    *(f"{CALLS}{name}" for name in ("Call", "Source", "layer_name")),
    *(
        f"{CALLS}CallTracer.{name}"
        for name in ("begin", "_look", "_call", "_source", "_feeding", "_after", "_note")
    ),
    *(f"leakyrelu._trace.units.UnitTracer.{name}" for name in ("layout", "called")),
    *(f"{CALLS}CallTracer.hooked",),
    *(f"leakyrelu._trace.known.Known.{name}" for name in ("blocks_gradient", "name")),
    *(
        f"{TRACKED}TrackedLayer.{name}"
        for name in (
            *("__init__", "begin_window", "count", "look_closer", "_reached", "settle", "place"),
            *("end_window", "row"),
        )
    ),
    *(f"{TRACKED}{name}" for name in ("Look.at", "causes_of", "FiringCounts")),
    *(f"leakyrelu.health._counts.FiringCounts.{n}" for n in ("update", "update_activation")),
    "leakyrelu.health._causes.effect",
]


@pytest.mark.parametrize("place", STEPS_OF_OURS)
@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_failure_of_ours_leaves_the_training_as_it_is(place, after, monkeypatch):

    calls = 0
    *path, name = place.split(".")
    module = importlib.import_module(".".join(part for part in path if not part[0].isupper()))
    owner = module
    for part in path:
        if part[0].isupper():
            owner = getattr(owner, part)
    real = inspect.getattr_static(owner, name)
    real = real.__func__ if isinstance(real, classmethod) else real

    after += name == "begin"  # which the constructor, no hook, calls

    def failing(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls > after:
            raise ArithmeticError("planted")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, classmethod(failing) if name == "at" else failing)
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        observer = check_same(Net())
    told = [str(w.message) for w in caught if w.category is HealthWarning]
    planted = [text for text in told if "ArithmeticError: planted" in text]
    assert bool(planted) == (calls > after)
    assert len(planted) == len(set(planted))  # each once
    try:
        layers = observer.layers
    except (InputError, RuntimeError):
        layers = []
    for layer in layers:
        assert f"{layer.layer} ({layer.function}) is watched no more" not in str(planted)
        layer.row()


class Sizes(nn.Module):
    """Images of several sizes, in a list, as detection models take them."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, images):
        found = [F.relu(self.conv(image[None])).mean((2, 3)) for image in images]
        boxes = self.head(torch.cat(found))
        width = images[0].shape[-1]
        return boxes.reshape(-1, 2, 1).clamp(min=0, max=width), (boxes[..., None] * width).clamp(
            min=0
        )


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(3, 4) for _ in range(3))

    def forward(self, x):
        which = (x[:, 0] > 0).long()  # never the third
        return [F.relu(expert(x[which == i])) for i, expert in enumerate(self.experts)]


class Time(nn.Module):
    """What is guessed to be the axis of the units changes its length."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(3, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        y = F.relu(self.norm(self.conv(x)))
        return self.head(F.relu(y.mean(2)))


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
        self.inner, self.outer = torch.jit.script(inner), nn.Linear(4, 1)

    def forward(self, x):
        return self.outer(F.relu(self.inner(x)))

    def __deepcopy__(self, memo):
        other = Scripted()
        other.load_state_dict(self.state_dict())
        return other


class Odd(nn.Module):
    """Rectifies all kinds of tensors beside what it learns from."""

    def __init__(self, odd):
        super().__init__()
        self.net, self.odd = Net(), odd

    def forward(self, x):
        self.odd(x)
        return self.net(x)


def _nested(x):
    F.relu(torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)]))


def _no_grad(x):
    with torch.no_grad():
        F.relu(x)


def _inference(x):
    with torch.inference_mode():
        F.relu(torch.randn(3, 4))


def _vmapped(x):
    torch.vmap(lambda row: F.relu(row[None]))(x)


def _transformed(x):
    torch.func.grad(lambda y: F.relu(y).sum())(x.detach())


ODD = {
    "empty": lambda x: F.relu(torch.zeros(0, 3)),
    "no positions": lambda x: F.relu(torch.zeros(2, 3, 0)),
    "no units": lambda x: F.relu(torch.zeros(2, 0)),
    "0-d": lambda x: F.relu(x.sum()),
    "1-d": lambda x: F.relu(x[0]),
    "NaN": lambda x: F.relu(x * float("nan")),
    "integers": lambda x: F.relu(torch.ones(3, 4, dtype=torch.int64)),
    "half": lambda x: F.relu(x.half()),
    "float8": lambda x: F.leaky_relu(x.to(torch.float8_e4m3fn).float()),
    "complex": lambda x: torch.view_as_real(x.to(torch.complex64)).relu(),
    "nested": _nested,
    "meta": lambda x: F.relu(torch.empty(3, 4, device="meta")),
    "sparse": lambda x: torch.relu(x.detach().to_sparse()),
    "no_grad": _no_grad,
    "inference": _inference,
    "vmap": _vmapped,
    "grad": _transformed,
    "numbers of units": lambda x: F.relu(
        x.new_zeros(2, 3 + int(torch.randint(5, (), generator=G)))
    ),
    "bounds": lambda x: x.clamp(x.min(), x.max()).clamp(min=0, max=x.max()),
}
G = torch.Generator()
LISTS = {
    "sizes": (Sizes, lambda step: [torch.randn(3, 5 + step % 3, 6 + step) for _ in range(2)]),
    "experts": (Experts, inputs),
    "time": (Time, lambda step: torch.randn(2, 3, 8 + step)),
    "spectral norm": (
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.ReLU()),
        inputs,
    ),
    "weight norm": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.ReLU()),
        inputs,
    ),
    "NaN": (Net, lambda step: inputs(step) * (float("nan") if step == 3 else 1)),
    "scripted": (Scripted, inputs),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("window", [1, 4])
def test_models_that_are_hard_to_watch(name, window):
    make, data = LISTS[name]
    torch.manual_seed(0)
    cached = [data(step) for step in range(STEPS)]
    health = check_same(make(), cached.__getitem__, window=window)
    assert health.failure is None
    health.table(), str(health), health.to_json()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("window", [1, 4])
def test_tensors_that_are_hard_to_watch(odd, window):
    torch.manual_seed(0)
    health = check_same(Odd(ODD[odd]), window=window)
    assert health.failure is None
    layers = {layer.layer for layer in health.layers}
    assert {"net.act", "net"} <= layers
    health.table(), str(health), health.to_json()


def test_boxes_are_no_layers():
    model = Sizes()
    health = check_same(model, lambda step: [torch.ones(3, 6, 6)] * 2)
    assert [layer.function for layer in health.layers] == ["relu", "relu"]


def test_a_layer_that_can_not_be_watched_is_named_once():
    torch.manual_seed(0)
    model = Odd(lambda x: F.relu(model.net.first.weight.new_zeros(2, 3 + len(x))))
    with pytest.warns(HealthWarning) as caught:
        health = check_same(model, lambda step: inputs(step)[: 3 + step % 4])
    (message,) = {str(w.message) for w in caught if "no more" in str(w.message)}
    assert (
        message == "(model) (relu) is watched no more: ValueError: it had 6 units, but now it has 7"
    )
    assert [layer.layer for layer in health.layers] == ["net.act", "net"]


def test_units_are_followed_whatever_the_length_of_a_sequence():
    torch.manual_seed(0)
    model = Time()
    model.norm.bias.data[:3] = -1e3
    health = check_same(model, lambda step: torch.randn(2, 3, 8 + step))
    assert [layer.layer for layer in health.layers] == ["(model)", "(model) #2"]
    assert [layer.dead.tolist() for layer in health.layers] == [[True, True, True, False]] * 2


def test_a_mask_of_the_user_that_fails_ends_the_watching_only():
    def mask(x):
        raise KeyError("attention_mask")

    with pytest.warns(HealthWarning, match="watching ended at step 0: KeyError: 'attention_mask'"):
        health = check_same(Net(), mask=mask)
    with pytest.raises(InputError, match="nothing was watched"):
        print(health)


SPLIT = [int((inputs(0)[:, 0] <= 0).sum()), int((inputs(0)[:, 0] > 0).sum())]


def test_an_expert_without_tokens_is_examined():
    found = examine(Experts(), inputs(0))
    assert [layer.layer for layer in found.layers] == ["(model)", "(model) #2", "(model) #3"]
    layer = found.layers[2]
    for state in (layer.dead, layer.stuck_negative, layer.dormant(), layer.counts.always_on):
        assert not state.any()
    assert [layer.examples for layer in found.layers] == [*SPLIT, 0]
    assert "no example reached (model) #3" in str(found)
    assert found.table()["dead %"][2] == 0


def test_a_model_of_torchscript_is_named():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    for look in (lambda: examine(scripted, inputs(0)), lambda: watch(scripted).start()):
        with pytest.raises(InputError, match="model of TorchScript; give the one from before"):
            look()
    for look in (lambda: examine(Scripted(), inputs(0)), lambda: watch(Scripted()).start().stop()):
        with pytest.warns(HealthWarning, match="not seen, as TorchScript runs them: inner"):
            look()
