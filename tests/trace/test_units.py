"""Units are those of the layer that makes a tensor, wherever they lie when it is rectified."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, watch
from leakyrelu._trace import units

DEAD = [1, 4]


@pytest.fixture(autouse=True)
def _same_weights_and_no_failure(monkeypatch):
    """Let a test fail if following units failed, after which they are unknown."""
    torch.manual_seed(0)
    failures = []
    begin = units.UnitTracer.begin

    def checked(self):
        failures.extend(getattr(self, "failures", ()))
        begin(self)
        self.failures = failures

    monkeypatch.setattr(units.UnitTracer, "begin", checked)
    yield
    assert not failures


class Net(nn.Module):
    """A layer whose units 1 and 4 are dead, and what comes after it."""

    def __init__(self, layer, forward, **others):
        super().__init__()
        self.layer, self.then = layer, forward
        for name, module in others.items():
            setattr(self, name, module)
        bias = next((p for n, p in layer.named_parameters() if n.startswith("bias")), None)
        if bias is not None:
            bias.data.zero_()[DEAD] = -1e3

    def forward(self, *x):
        return self.then(self, *x)


class Raw(nn.Module):
    """Weights that no layer of PyTorch has."""

    def __init__(self, *shape):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(shape)), nn.Parameter(torch.zeros(6))


def einsum(net, x):
    return F.relu(torch.einsum("bti,oi->bto", x, net.layer.weight) + net.layer.bias)


IMAGES, TIMES, ROWS = (4, 3, 8, 8), (4, 3, 10), (5, 3)
STEPS = (4, 10, 3)
CONV1, CONV2, LINEAR = nn.Conv1d(3, 6, 3), nn.Conv2d(3, 6, 3), nn.Linear(3, 6)
# Each: what makes six units of which 1 and 4 are dead, what follows it, and the shape of the data.
PLACES = {
    "conv": (lambda: nn.Conv1d(3, 6, 3), lambda net, x: F.relu(net.layer(x)), TIMES),
    "conv, group norm": (
        lambda: nn.Conv1d(3, 6, 3),
        lambda net, x: F.relu(F.group_norm(net.layer(x), 3)),
        TIMES,
    ),
    "conv, permuted": (
        lambda: nn.Conv2d(3, 6, 3),
        lambda net, x: F.relu(net.layer(x).permute(0, 2, 3, 1)),
        IMAGES,
    ),
    "conv, tokens": (
        lambda: nn.Conv2d(3, 6, 3, 2),
        lambda net, x: F.relu(net.layer(x).flatten(2).transpose(1, 2)),
        IMAGES,
    ),
    "conv, flattened": (
        lambda: nn.Conv2d(3, 6, 3),
        lambda net, x: F.relu(net.layer(x).flatten(1)),
        IMAGES,
    ),
    "conv, pooled": (
        lambda: nn.Conv2d(3, 6, 3),
        lambda net, x: F.relu(F.adaptive_avg_pool2d(net.layer(x), 1)),
        IMAGES,
    ),
    "conv, mean": (
        lambda: nn.Conv2d(3, 6, 3),
        lambda net, x: F.relu(net.layer(x).mean((2, 3))),
        IMAGES,
    ),
    "conv, padded and upsampled": (
        lambda: nn.Conv2d(3, 6, 3),
        lambda net, x: F.relu(F.interpolate(F.pad(net.layer(x), (1, 1, 2, 0)), scale_factor=2)),
        IMAGES,
    ),
    "conv, pixel shuffle": (
        lambda: nn.Conv2d(3, 8, 3),
        lambda net, x: F.relu(F.pixel_shuffle(net.layer(x), 2)),
        IMAGES,
    ),
    "conv, windows": (
        lambda: nn.Conv2d(3, 6, 1),
        lambda net, x: F.relu(
            net.layer(x)
            .permute(0, 2, 3, 1)
            .roll((1, 1), (1, 2))
            .view(-1, 2, 4, 2, 4, 6)
            .permute(0, 1, 3, 2, 4, 5)
            .reshape(-1, 16, 6)
        ),
        IMAGES,
    ),
    "transposed": (
        lambda: nn.ConvTranspose1d(3, 6, 3, stride=2),
        lambda net, x: F.relu(net.layer(x)),
        TIMES,
    ),
    "conv3d": (
        lambda: nn.Conv3d(3, 6, 2),
        lambda net, x: F.relu(net.layer(x[:, :, None].expand(-1, -1, 2, -1, -1))),
        IMAGES,
    ),
    "linear, channels first": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x).transpose(1, 2)),
        STEPS,
    ),
    "linear, heads": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x).view(4, 10, 2, 3).transpose(1, 2)),
        STEPS,
    ),
    "time embedding": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x)[:, :, None, None] + torch.zeros(1, 1, 4, 4)),
        ROWS,
    ),
    "sequence first": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x.transpose(0, 1))).transpose(0, 1),
        STEPS,
    ),
    "a function": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(F.linear(x, net.layer.weight, net.layer.bias)),
        STEPS,
    ),
    "matmul": (
        lambda: Raw(3, 6),
        lambda net, x: F.relu(x @ net.layer.weight + net.layer.bias),
        STEPS,
    ),
    "einsum": (lambda: Raw(6, 3), einsum, STEPS),
    "addmm": (
        lambda: Raw(3, 6),
        lambda net, x: F.relu(torch.addmm(net.layer.bias, x, net.layer.weight)),
        ROWS,
    ),
    "conv by function": (
        lambda: Raw(6, 3, 3),
        lambda net, x: F.relu(F.conv1d(x, net.layer.weight, net.layer.bias)),
        TIMES,
    ),
    "bilinear": (
        lambda: nn.Bilinear(3, 3, 6),
        lambda net, x: F.relu(net.layer(x, x)),
        ROWS,
    ),
    "dropout": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(F.dropout(net.layer(x), 0.1, True)),
        STEPS,
    ),
    "scaled": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x) * 0.5 - 1e-3 + x.mean(-1, keepdim=True)),
        STEPS,
    ),
    "half": (
        lambda: nn.Linear(3, 6),
        lambda net, x: F.relu(net.layer(x).bfloat16().float()),
        STEPS,
    ),
    "checkpointed": (
        lambda: nn.Conv1d(3, 6, 3),
        lambda net, x: torch.utils.checkpoint.checkpoint(
            lambda y: F.relu(net.layer(y)), x, use_reentrant=False
        ),
        TIMES,
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_units_are_those_of_the_layer(name):
    make, forward, shape = PLACES[name]
    model, x = Net(make(), forward), torch.randn(shape)
    if isinstance(model.layer, Raw):
        model.layer.bias.data[DEAD] = -1e3
    count = 8 if "shuffle" in name else 6
    (layer,) = examine(model, x).layers
    assert layer.dead.nonzero().squeeze(1).tolist() == DEAD
    assert (layer.units, layer.feeding, layer.after) == (count, "layer", "layer")
    with watch(model, window=3, warn_above=1) as health:
        for _ in range(7):
            model(torch.randn(shape)).sum().backward()
    (layer,) = health.layers
    assert layer.dead.nonzero().squeeze(1).tolist() == DEAD
    assert health.deaths[0].cause == "born dead"


@pytest.mark.parametrize("name", ["conv", "conv, tokens", "conv, flattened", "conv, windows"])
def test_positions_of_several_numbers(name):
    make, forward, shape = PLACES[name]
    model = Net(make(), forward)
    with watch(model, window=4, warn_above=1) as health:
        for step in range(9):
            grown = [n if i < 2 else n + 8 * (step % 3) for i, n in enumerate(shape)]
            if name == "conv, windows":
                grown = [shape[0] + step, *shape[1:]]
            model(torch.randn(grown)).sum().backward()
    assert health.failure is None
    (layer,) = health.layers
    assert layer.dead.nonzero().squeeze(1).tolist() == DEAD


def test_recurrent_layers_have_units():
    for cell in (nn.LSTM, nn.GRU, nn.RNN):
        model = Net(
            nn.Conv1d(3, 6, 3),
            lambda net, x: F.relu(net.rnn(net.layer(x).transpose(1, 2))[0] - net.shift),
            rnn=cell(6, 5, batch_first=True),
            shift=nn.Parameter(torch.tensor([0.0, 0, 9, 0, 9])),
        )
        (layer,) = examine(model, torch.randn(TIMES)).layers
        assert layer.units == 5
        assert layer.dead[[2, 4]].all()
        assert (layer.feeding, layer.after) == ("rnn", "rnn")


def test_embeddings_have_units():
    model = nn.Sequential(nn.Embedding(5, 4), nn.ReLU())
    model[0].weight.data[:, 2] = -1
    (layer,) = examine(model, torch.tensor([[0, 1, 2], [3, 4, 0]])).layers
    assert layer.dead.tolist() == [False, False, True, False]
    assert layer.after == "0"


def test_a_gate_has_the_units_of_its_own_layer():
    class SqueezeExcite(nn.Module):
        def __init__(self):
            super().__init__()
            self.reduce, self.expand = nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1)

        def forward(self, x):
            gate = F.relu(self.reduce(x.mean((2, 3), keepdim=True)))
            return x * self.expand(gate).sigmoid()

    model = Net(nn.Conv2d(3, 6, 3), lambda net, x: F.relu(net.se(net.layer(x))), se=SqueezeExcite())
    gate, after = examine(model, torch.randn(IMAGES)).layers
    assert (gate.units, gate.after) == (3, "se.reduce")
    assert (after.units, after.after) == (6, "layer * se.expand")
    assert after.dead.tolist() == [False, True, False, False, True, False]


def test_a_sum_and_a_joint_tensor_say_what_they_are_made_of():
    def forward(net, x):
        y = net.layer(x)
        total = F.relu(y + net.other(x))
        joined = F.relu(torch.cat([y, total, net.other(x)[:, :2]], 1))
        return total.mean() + joined

    model = Net(nn.Conv2d(3, 6, 3), forward, other=nn.Conv2d(3, 6, 3))
    model.other.bias.data[3] = -1e3
    total, joined = examine(model, torch.randn(IMAGES)).layers
    assert total.after == "layer + other"
    assert total.dead.nonzero().flatten().tolist() == [1, 3, 4]
    assert joined.units == 14
    assert joined.after == "layer, (model), other (2 of 6 units)"
    assert joined.dead.nonzero().flatten().tolist() == [1, 4, 7, 9, 10]


def test_what_can_not_be_known_is_said():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 6)

        def forward(self, x):
            y = self.linear(x)
            return F.relu(torch.fft.rfft(y).abs()), F.relu(x)

    found = examine(Hidden(), torch.randn(5, 3))
    assert [layer.after for layer in found.layers] == ["unknown", "unknown"]
    assert found.table()["after"].tolist() == ["unknown", "unknown"]


def test_a_factor_of_unknown_origin_leaves_units_what_they_are():
    model = Net(
        nn.Conv1d(3, 6, 3),
        lambda net, x: F.relu(net.layer(x) * torch.fft.rfft(net.layer(x), n=14).abs()),
    )
    (layer,) = examine(model, torch.randn(TIMES)).layers
    assert layer.dead.nonzero().flatten().tolist() == DEAD
    assert layer.after == "layer"


def test_what_fails_in_following_is_unknown_and_changes_nothing(monkeypatch):
    def failing(*_):
        raise ArithmeticError("planted")

    model, x = Net(nn.Conv2d(3, 6, 3), PLACES["conv, pooled"][1]), torch.randn(IMAGES)
    before = model(x)
    with monkeypatch.context() as patch:
        patch.setattr(units.UnitTracer, "_moved", failing)
        patch.setattr(
            units.UnitTracer, "begin", units.UnitTracer.begin.__closure__[0].cell_contents
        )
        found = examine(model, x)
        with watch(model, window=1) as health:
            assert torch.equal(model(x), before)
    assert [layer.after for layer in (*found.layers, *health.layers)] == ["unknown"] * 2


# --- Chains drawn at random ------------------------------------------------------------------


@st.composite
def chains(draw):
    """Return a net of random layers and movements, and where its dead units are."""
    units = draw(st.integers(2, 5))
    dead = sorted(draw(st.sets(st.integers(0, units - 1), max_size=units - 1)))
    kind = draw(st.sampled_from(["conv1", "conv2", "linear"]))
    spatial = {"conv1": 1, "conv2": 2, "linear": 1}[kind]
    steps = draw(
        st.lists(
            st.sampled_from(
                ["scale", "dropout", "flip", "roll", "pool", "cat", "slice", "move", "norm"]
            ),
            max_size=6,
        )
    )
    seed = draw(st.integers(0, 99))
    return units, dead, kind, spatial, steps, seed, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(chains())
def test_random_chains(chain):
    """The units of each call are counted by a copy of the net that knows where they lie."""
    units, dead, kind, spatial, steps, seed, flattens = chain
    torch.manual_seed(seed)
    layer = {"conv1": nn.Conv1d, "conv2": nn.Conv2d}.get(kind, nn.Linear)
    layer = layer(3, units, 1) if kind != "linear" else layer(3, units)
    other = nn.Conv1d(3, units, 1) if kind == "conv1" else None
    other = nn.Conv2d(3, units, 1) if kind == "conv2" else other or nn.Linear(3, units)
    layer.bias.data[dead] = -1e3
    x = torch.randn(4, 3, *(6,) * spatial) if kind != "linear" else torch.randn(4, 6, 3)
    order = {}

    def forward(net, x):
        y = layer(x)
        axis = 1 if kind != "linear" else y.ndim - 1
        owners = list(range(units))  # of each place on the axis, the unit
        for step in steps:
            places = [d for d in range(1, y.ndim) if d != axis]
            if step == "scale":
                y = y * 1.5
            elif step == "dropout":
                y = F.dropout(y, 0.2, False)
            elif step == "flip":
                y = y.flip(places[0])
            elif step == "roll":
                y = y.roll(1, axis)
                owners = owners[-1:] + owners[:-1]
            elif step == "pool" and axis == 1 and y.ndim == 3:
                y = F.max_pool1d(y, 2, 1)
            elif step == "cat" and len(owners) < 9:
                z = layer(x)
                if z.shape == y.shape:
                    y = torch.cat([y, other(x)], axis)
                    owners = [*owners, *(units + i for i in range(units))]
            elif step == "slice" and len(owners) > 2:
                y, owners = y.narrow(axis, 1, len(owners) - 1), owners[1:]
            elif step == "move":
                y = y.movedim(axis, -1 if axis == 1 else 1)
                axis = y.ndim - 1 if axis == 1 else 1
            elif step == "norm" and axis == 1:
                y = F.batch_norm(y, None, None, training=True)
        order["owners"], order["axis"] = owners, axis
        order["z"] = y.detach()
        if flattens:
            y = y.flatten(1)
        return F.relu(y)

    model = Net(nn.Identity(), forward, one=layer, other=other)
    (found,) = examine(model, x).layers
    z, axis, owners = order["z"], order["axis"], order["owners"]
    fired = (z > 0).movedim(axis, 0).flatten(1).any(1)
    if len(set(owners)) == len(owners):
        if flattens and z.ndim > 2:
            by_owner = sorted(zip(owners, fired.tolist(), strict=True))
            expected = [is_on for _, is_on in by_owner]
        else:
            expected = fired.tolist()
        assert found.units == len(owners)
        assert (~found.never_fired).tolist() == expected
