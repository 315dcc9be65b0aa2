"""Activations are seen however they are written, and those that are not are named."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import InputError, examine, revive, watch
from leakyrelu._trace.known import known

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.linear, self.act, self.last = nn.Linear(3, 6), act, nn.Linear(6, 1)
        self.linear.bias.data.zero_()[[1, 4]] = -100

    def forward(self, x):
        return self.last(self.act(self.linear(x)))


def _set(x):
    x = x.clone()
    x[x < 0] = 0
    return x


WRITTEN = {
    "where": lambda x: torch.where(x > 0, x, 0),
    "where, method": lambda x: x.where(x > 0, torch.zeros(())),
    "where, below": lambda x: torch.where(x < 0, torch.zeros_like(x), x),
    "mask": lambda x: x * (x > 0),
    "mask first": lambda x: (x >= 0) * x,
    "mask as a float": lambda x: x * (x > 0).float(),
    "mask of a dtype": lambda x: x * (x > 0).to(x.dtype),
    "maximum": lambda x: torch.maximum(x, torch.zeros(())),
    "max": lambda x: torch.max(torch.tensor(0.0), x),
    "clip": lambda x: x.clip(min=0),
    "clip, function": lambda x: torch.clip(x, 0),
    "clamp": lambda x: x.clamp(min=0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0),
    "masked_fill_": lambda x: (lambda y: y.masked_fill_(y < 0, 0.0))(x.clone()),
    "set": _set,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_rectifiers_that_are_written_out(name):
    model = Net(WRITTEN[name])
    before = model(X)
    found = examine(model, X)
    (layer,) = found.layers
    assert layer.dead.nonzero().flatten().tolist() == [1, 4]
    assert layer.blocks_gradient
    assert layer.after == "linear"
    assert found.coverage == "1 of 1 activations seen"
    assert revive(model, found).revived == {"(model)": [1, 4]}
    assert torch.equal(model(X), before)
    with watch(Net(WRITTEN[name]), window=2, warn_above=1) as health:
        for _ in range(5):
            health.model(X).sum().backward()
    assert health.layers[0].dead.nonzero().flatten().tolist() == [1, 4]


NOT_RECTIFIERS = {
    "another mask": lambda x: x * (x.detach() > 0),
    "mask of others": lambda x: torch.where(x.roll(1, 1) > 0, x, 0),
    "a leak": lambda x: torch.where(x > 0, x, x * 0.1),
    "other bound": lambda x: torch.where(x > 1, x, 0),
    "other value": lambda x: x.masked_fill(x < 0, 1),
}


@pytest.mark.parametrize("name", NOT_RECTIFIERS)
def test_what_is_none(name):
    with pytest.raises(InputError, match="none of the known activations"):
        examine(Net(NOT_RECTIFIERS[name]), X)


MAXOUTS = {
    "maximum": lambda x: torch.maximum(x, x.roll(1, 1)),
    "halves": lambda x: torch.max(*x.chunk(2, 1)).repeat(1, 2),
    "pieces": lambda x: x.view(-1, 3, 2).amax(2).repeat(1, 2),
    "values": lambda x: x.view(-1, 2, 3).max(1).values.repeat(1, 2),
    "stack": lambda x: torch.stack([x, 2 * x.roll(1, 1)]).amax(0),
}


@pytest.mark.parametrize("name", MAXOUTS)
def test_maxout_is_named(name):
    assert examine(Net(MAXOUTS[name]), X).coverage == "0 of 1 activations seen; not: maxout x 1"
    with_relu = Net(nn.Sequential(Calling(MAXOUTS[name]), nn.Linear(6, 6), nn.ReLU()))
    # A module that does nothing else is named by its class.
    named = ("maxout x 1", "Calling x 1")
    assert examine(with_relu, X).coverage.removeprefix("1 of 2 activations seen; not: ") in named


@pytest.mark.parametrize(
    "act", [lambda x: x - x.amax(1, keepdim=True), lambda x: x / x.max(), lambda x: x.softmax(1)]
)
def test_the_largest_of_a_softmax_is_no_maxout(act):
    relu = Net(nn.Sequential(nn.ReLU(), nn.Linear(6, 6), Calling(act)))
    assert examine(relu, X).coverage == "1 of 1 activations seen"


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    "act", [nn.Threshold(0, 0), nn.Hardswish(), nn.CELU(), nn.SELU(), nn.Softplus(), nn.Mish()]
)
def test_activations_of_pytorch_are_seen_or_named(act):
    found = examine(Net(nn.Sequential(act, nn.Linear(6, 6), nn.ReLU(), act)), X)
    if known().is_module(act):
        assert found.coverage == "3 of 3 activations seen"
        return
    assert found.coverage == f"1 of 3 activations seen; not: {type(act).__name__} x 2"
    assert found.coverage in found.summary
    with watch(Net(nn.Sequential(nn.ReLU(), nn.Linear(6, 6), act)), window=1) as health:
        health.model(X).sum().backward()
    assert health.coverage == f"1 of 2 activations seen; not: {type(act).__name__} x 1"
    assert health.coverage in str(health)


def test_own_modules_glu_and_functions_are_named():
    glu = nn.Sequential(nn.GLU(), nn.Linear(3, 6), nn.ReLU())
    assert examine(Net(glu), X).coverage == "1 of 2 activations seen; not: GLU x 1"
    own = nn.Sequential(Swish(), nn.Linear(6, 6), Swish(), nn.ReLU())
    assert examine(Net(own), X).coverage == "1 of 3 activations seen; not: Swish x 2"
    gates = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Sigmoid(), nn.Softmax(-1))
    assert examine(Net(gates), X).layers


def test_compiled_parts_are_named():
    inner = torch.jit.trace(nn.Sequential(nn.Linear(6, 6), nn.ReLU()), torch.randn(2, 6))
    with pytest.warns(UserWarning, match="as TorchScript runs them"):
        found = examine(Net(nn.Sequential(nn.ReLU(), inner)), X)
    assert found.coverage == "1 of 2 activations seen; not: traced submodule x 1"


def test_recurrent_layers_of_relus_are_seen():
    class Recurrent(nn.Module):
        def __init__(self, cell):
            super().__init__()
            self.rnn, self.is_cell = cell, isinstance(cell, nn.RNNCell)

        def forward(self, x):
            if self.is_cell:
                return self.rnn(self.rnn.weight_hh.new_zeros(len(x), 3))
            return self.rnn(x[:, None].expand(-1, 4, -1))[0]

    rnn = nn.RNN(3, 5, 2, nonlinearity="relu", batch_first=True)
    rnn.bias_ih_l1.data[2] = -100
    found = examine(Recurrent(rnn), X)
    (layer,) = found.layers
    assert (layer.layer, layer.function, layer.units, layer.after) == ("rnn", "relu", 5, "rnn")
    assert layer.dead[2]
    assert found.coverage == "1 of 2 activations seen; not: relu inside nn.RNN x 1"
    cell = nn.RNNCell(3, 5, nonlinearity="relu")
    cell.bias_ih.data[:] = torch.tensor([1.0, 1, -100, 1, 1])
    (layer,) = examine(Recurrent(cell), X).layers
    assert layer.dead.tolist() == [False, False, True, False, False]


def test_activations_of_transformers_are_named():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=9, n_embd=8, n_layer=2, n_head=2, n_positions=8)
    found = examine(transformers.GPT2Model(config), torch.randint(0, 9, (2, 5)))
    named = {layer.function for layer in found.layers} | set(found.unseen)
    assert "gelu_new" in named or "tanh" in named  # of which it is made, where that is known
    assert "2 activations seen" in found.coverage


def test_the_table_names_what_feeds_each_call_and_relu6_is_one():
    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = (nn.Linear(3, 3) for _ in range(3))

        def forward(self, x):
            x = F.relu6(self.one(x))
            x = F.hardtanh(self.two(x), 0, 6)
            return self.three(x).clamp(0, 6), nn.ReLU6()(self.one(x))

    table = examine(Calls(), X).table()
    assert table["function"].tolist() == ["relu6"] * 4
    assert table["after"].tolist() == ["one", "two", "three", "one"]
    assert table["layer"].tolist() == ["(model)", "(model) #2", "(model) #3", "(model) #4"]
