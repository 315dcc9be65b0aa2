"""Units killed on purpose are found, whichever way the activation is called."""

import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import leakyrelu
from leakyrelu import examine


class Calls(nn.Module):
    """A linear layer of which units 0 and 1 never fire, then the activation under test."""

    def __init__(self, rectify):
        super().__init__()
        self.linear = nn.Linear(3, 5)
        self.linear.bias.data[:2] = -100.0
        self.rectify = rectify

    def forward(self, x):
        return self.rectify(self.linear(x))


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


DATA = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "rectify",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        nn.ReLU6(),
        F.relu,
        torch.relu,
        torch.relu_,
        lambda x: x.relu(),
        lambda x: x.relu_(),
        lambda x: F.relu(input=x),
        lambda x: F.relu(x, inplace=True),
        lambda x: F.leaky_relu(x, 0.0),
        lambda x: F.leaky_relu(x, negative_slope=0.0),
        lambda x: F.prelu(x, torch.zeros(1)),
        nn.ELU(),  # so far below 0 that no gradient passes: see test_no_gradient.py
        nn.GELU(),
        nn.SiLU(),
    ],
)
def test_dead(rectify):
    (layer,) = examine(Calls(rectify), DATA).layers
    assert layer.dead.tolist() == [True, True, False, False, False]
    assert not layer.stuck_negative.any()


@pytest.mark.parametrize(
    "rectify",
    [
        nn.LeakyReLU(),
        nn.PReLU(),
        nn.RReLU(),
        lambda x: F.leaky_relu(x, negative_slope=0.1),
        lambda x: F.leaky_relu_(x, 0.1),
    ],
)
def test_stuck_negative(rectify):
    (layer,) = examine(Calls(rectify), DATA).layers
    assert layer.stuck_negative.tolist() == [True, True, False, False, False]
    assert not layer.dead.any()


def test_each_call_of_a_shared_module_is_a_layer():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 4), relu, nn.Linear(4, 6), relu)
    table = examine(model, DATA).table()
    assert table["layer"].tolist() == ["1", "1 #2"]
    assert table["units"].tolist() == [4, 6]


@pytest.mark.parametrize(
    ("model", "data", "units"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), torch.randn(9, 1, 6, 6), 4),
        (nn.Sequential(nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.ReLU()), torch.randn(9, 2, 6), 5),
        (nn.Sequential(nn.Linear(3, 7), nn.ReLU()), torch.randn(9, 6, 3), 7),
        (nn.Sequential(nn.Linear(3, 7), nn.LayerNorm(7), nn.GELU()), torch.randn(9, 6, 3), 7),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(9, 6, 8), 16),
    ],
)
def test_units_are_channels_or_features(model, data, units):
    (layer,) = examine(model, data).layers
    assert layer.units == units


def test_a_unit_axis_can_be_told():
    model = nn.Sequential(nn.Linear(3, 7), nn.ReLU())
    (layer,) = examine(model, torch.randn(9, 6, 3), unit_axis=1).layers
    assert layer.units == 6


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout())
    model[3].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    examine(model, DATA)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert [module.training for module in model] == [True, True, True, False]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model)


def test_it_is_left_as_it_was_after_an_error_too():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with pytest.raises(ValueError, match=r"can't be run on this data, shape \(5, 99\)"):
        examine(model, torch.randn(5, 99))
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model)


def test_the_window_is_all_batches():
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(DATA, torch.zeros(300)), batch_size=64
    )
    model = Calls(nn.ReLU())
    found = examine(model, loader)
    assert found.examples == 300
    assert torch.equal(found.layers[0].counts.fired, examine(model, DATA).layers[0].counts.fired)


def test_summary():
    model = nn.Sequential(Calls(nn.ReLU()), nn.Linear(5, 2), nn.LeakyReLU())
    model[1].bias.data[0] = -1000
    found = examine(model, DATA)
    assert found.summary == (
        "2 of 7 units are dead, most in 0.rectify (2 of 5); 1 are stuck negative but still learn "
        "(window: 300 examples; silent units fire for less than 1% of all examples, at 95% "
        "confidence)."
    )
    assert found.summary in str(found)


def test_nan_is_told():
    data = DATA.clone()
    data[7, 0] = torch.nan
    found = examine(Calls(nn.ReLU()), data)
    assert "NaN reached rectify" in found.summary
    assert found.table()["dead %"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (nn.Linear(3, 3), DATA, "none of the known activations"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU()), DATA[:0], "no examples"),
        (nn.Sequential(nn.Linear(3, 3), nn.ReLU()), [], "no examples"),
    ],
)
def test_bad_input(model, data, message):
    with pytest.raises(ValueError, match=message):
        examine(model, data)


def test_rates_dormancy_and_gradient_in_the_table():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1e-3], [0, 0, 0]]))
        model[0].bias.copy_(torch.tensor([0.0, 0, 0, -1]))
    found = examine(model, DATA)
    z = DATA.double() @ model[0].weight.detach().double().T + model[0].bias.detach().double()
    a = z.relu()
    layer = found.layers[0]
    scores = a.mean(0) / a.mean(0).mean()
    assert layer.counts.dormancy.tolist() == pytest.approx(scores.tolist(), rel=1e-5)
    assert layer.counts.mean_activation.tolist() == pytest.approx(a.mean(0).tolist(), rel=1e-5)
    assert layer.counts.near_zero_rate.tolist() == pytest.approx(
        (a <= 0.05).double().mean(0).tolist()
    )
    assert layer.dormant().tolist() == [False, False, True, True]
    assert layer.dormant(0.0).tolist() == [False, False, False, True]
    rates = (z > 0).double().mean(0)
    row = found.table().iloc[0]
    assert row["dormant %"] == 50
    assert row["median rate"] == pytest.approx(rates.quantile(0.5).item())
    assert row["10% rate"] == pytest.approx(rates.quantile(0.1).item())


def test_the_gradient_is_that_of_the_loss():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    target = torch.randn(300, 1)
    found = examine(model, [(DATA, target)], loss=lambda out, batch: F.mse_loss(out, batch[1]))
    a = model[1](model[0](DATA)).detach().requires_grad_()
    (expected,) = torch.autograd.grad(F.mse_loss(model[2](a), target), a)
    assert found.layers[0].gradient == pytest.approx(expected.square().mean().sqrt().item())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_a_loss_it_tells_what_reaches_each_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[2].weight.mul_(1e-3)
        model[2].bias.fill_(0.5)
    first, second = examine(model, DATA).layers
    assert 0 < first.gradient < 1e-2 * second.gradient
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert examine(model, DATA).layers[0].gradient is None


def test_padding_is_masked_out():
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 4), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[100.0, 0, 0]] + 4 * [[-1.0, 0, 0]]))
        model[1].weight.copy_(torch.tensor([[1.0, 0, 0]] * 2 + [[-1.0, 0, 0]] * 2))
        model[1].bias.zero_()
    tokens = torch.tensor([[1, 2, 0], [3, 0, 0]])  # 0 is padding
    is_token = examine(model, tokens, mask=lambda tokens: tokens != 0).layers[0]
    assert is_token.dead.tolist() == [True, True, False, False]
    assert is_token.counts.always_on.tolist() == [False, False, True, True]
    assert is_token.counts.positive_rate.tolist() == [0, 0, 1, 1]
    assert is_token.counts.mean_activation.tolist() == [0, 0, 1, 1]
    assert is_token.counts.near_zero_rate.tolist() == [1, 1, 0, 0]
    assert not examine(model, tokens).layers[0].dead.any()
    with pytest.raises(ValueError, match=r"mask .* of shape \(2, 1\), fits no activation"):
        examine(model, tokens, mask=lambda tokens: tokens[:, :1] != 0)


def test_batches_of_named_arguments():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 4)

        def forward(self, *, x, scale):
            return {"out": torch.relu(self.linear(x) * scale), "n": 3}

    found = examine(Named(), [{"x": DATA, "scale": 2.0}])
    assert found.examples == 300
    assert found.layers[0].gradient > 0


def test_export(tmp_path):
    found = examine(Calls(nn.ReLU()), DATA)
    as_json = json.loads(json.dumps(found.to_json()))
    assert as_json["examples"] == 300
    assert as_json["layers"][0]["dead units"] == [0, 1]
    assert as_json["layers"][0]["dead %"] == 40
    found.to_html(tmp_path / "health.html")
    page = found.to_html()
    assert (tmp_path / "health.html").read_text(encoding="utf-8") == page
    assert found.summary.split(";")[0] in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_a_transformer_that_would_take_its_fast_path():
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), 2, enable_nested_tensor=False
    ).eval()
    assert [layer.units for layer in examine(model, torch.randn(4, 10, 8)).layers] == [32, 32]


def test_a_bug_is_not_taken_for_bad_data(monkeypatch):
    def update(self, *_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(leakyrelu.health._counts.FiringCounts, "update", update)
    with pytest.raises(RuntimeError, match="a bug"):
        examine(Calls(nn.ReLU()), DATA)
    with pytest.raises(leakyrelu.InputError, match="can't be run on this data"):
        examine(Calls(nn.ReLU()), torch.randn(5, 99))


def test_a_compiled_part_runs_as_it_is_written():
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph.forward

    part = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    part[0].bias.data[1] = -100
    model = nn.Sequential(torch.compile(part, backend=backend), nn.Linear(6, 2))
    found = examine(model, torch.randn(30, 4))
    assert found.layers[0].dead.nonzero().tolist() == [[1]]
    assert not compiled
    model(torch.randn(30, 4))
    assert compiled
