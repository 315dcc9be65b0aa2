"""Replaced activations keep everything else, and let dead units learn."""

import copy
import functools
import io
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, replace, restore, watch
from leakyrelu._trace.graph import Graph
from leakyrelu.activations import parse
from leakyrelu.treatment import WarmUpLeakyReLU


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2), nn.ReLU()
    )


class Block(nn.Module):
    """A residual block that calls one ReLU twice, in place."""

    def __init__(self, channels=4, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.layer1 = Block()
        self.layer2 = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


def activations(model):
    return {
        name: type(module).__name__
        for name, module in model.named_modules()
        if "ReLU" in type(module).__name__
    }


def images(n=3):
    return torch.randn(n, 1, 8, 8)


# --- What changes, and what stays ----------------------------------------------------------


def test_a_copy_is_changed_by_default():
    model = network()
    treated = replace(model, "leaky_relu:0.2")
    assert isinstance(model[2], nn.ReLU)
    assert [type(treated[i]) for i in (2, 5)] == [nn.LeakyReLU, nn.LeakyReLU]
    assert treated[2].negative_slope == 0.2
    for (name, tensor), (_, kept) in zip(
        model.state_dict().items(), treated.state_dict().items(), strict=True
    ):
        assert torch.equal(tensor, kept), name


def test_in_place():
    model = network()
    assert replace(model, "elu", inplace=True) is model
    assert isinstance(model[5], nn.ELU)


def test_a_shared_module_stays_shared_but_for_prelu():
    model = nn.Module()
    model.first = model.second = nn.ReLU()
    treated = replace(model, "leaky_relu")
    assert treated.first is treated.second
    treated = replace(model, "prelu")
    assert isinstance(treated.second, nn.PReLU)
    assert treated.first is not treated.second


def test_each_call_of_a_shared_module_gets_its_own_prelu():
    model = ResNet().eval()
    treated = replace(model, "prelu:0.2")
    assert activations(treated) == dict.fromkeys(
        [
            "stem.2",
            "layer1.relu",
            "layer1.relu2",
            *(f"layer2.{i}.{name}" for i in (0, 1) for name in ("relu", "relu2")),
        ],
        "PReLU",
    )
    x = images()
    assert torch.equal(treated(x), replace(model, "leaky_relu:0.2")(x))
    treated.layer1.relu2.weight.data.fill_(0.9)
    assert not torch.equal(treated(x), replace(model, "leaky_relu:0.2")(x))
    treated(x).sum().backward()
    assert treated.layer1.relu.weight.grad != treated.layer1.relu2.weight.grad
    assert set(model.state_dict()) <= set(treated.state_dict())
    assert list(replace(model, "leaky_relu").state_dict()) == list(model.state_dict())


def test_the_calls_of_a_loop_share_a_prelu_and_one_is_told():
    class Looped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])
            self.act = nn.ReLU()

        def forward(self, x):
            for layer in self.layers:
                x = self.act(layer(x))
            return x

    with pytest.warns(UserWarning, match="calls of a loop share one prelu: act"):
        treated = replace(Looped(), "prelu")
    assert activations(treated) == {"act": "PReLU"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replace(Looped(), "leaky_relu")


def test_dtype_device_and_mode_are_those_of_the_model():
    model = network().double().eval()
    treated = replace(model, "prelu")
    assert treated[2].weight.dtype == torch.float64
    assert not treated[2].training
    assert treated(torch.randn(2, 1, 6, 6, dtype=torch.float64)).shape == (2, 2)

    mixed = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2).bfloat16(), nn.ReLU())
    mixed[3].eval()
    treated = replace(mixed, "prelu")
    assert [treated[i].weight.dtype for i in (1, 3)] == [torch.float32, torch.bfloat16]
    assert [treated[i].training for i in (1, 3)] == [True, False]

    with torch.device("meta"):
        model = ResNet()
    treated = replace(model, "prelu")
    assert treated.layer1.relu2.weight.is_meta
    assert replace(model, "leaky_relu", warm_up=5).layer1.relu.forwards.is_meta


def test_hooks_are_kept_and_their_handles_work():
    model, seen = ResNet(), []
    handle = model.layer1.relu.register_forward_hook(lambda *_: seen.append("forward"))
    model.layer1.relu.register_full_backward_hook(lambda *_: seen.append("backward"))
    model.layer1.relu.register_forward_pre_hook(lambda *_: seen.append("before"))
    replace(model, "prelu", inplace=True)
    model(images()).sum().backward()
    assert seen == ["before", "forward"] * 2 + ["backward"] * 2
    handle.remove()
    seen.clear()
    model(images())
    assert seen == ["before"] * 2


def test_what_worked_in_place_does_so_if_it_can():
    model = ResNet()
    assert replace(model, "leaky_relu").layer1.relu.inplace
    assert not replace(model, "leaky_relu").stem[2].inplace
    assert not replace(model, "leaky_relu:-0.1").layer1.relu.inplace  # PyTorch has no gradient
    replace(model, "leaky_relu")(images()).sum().backward()


def test_a_dead_unit_learns_again():
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    model[0].bias.data[0] = -100.0
    data = torch.randn(50, 3)

    def gradient(model):
        model.zero_grad()
        model(data).sum().backward()
        return model[0].weight.grad[0]

    assert examine(model, data).layers[0].dead[0]
    assert torch.equal(gradient(model), torch.zeros(3))
    assert gradient(replace(model, "leaky_relu:0.1")).abs().min() > 0


def test_relu6_and_faster_layers_are_swapped_too():
    from leakyrelu.nn import PReLU

    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU6(), nn.Linear(2, 2), PReLU())
    changed = replace(model)
    assert isinstance(changed[1], nn.LeakyReLU)
    assert changed[1].cap == 6  # see test_caps.py
    assert type(changed[3]) is nn.LeakyReLU


# --- Which ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("layer1.relu", ["layer1.relu"]),
        ("layer1", ["layer1.relu"]),
        ("layer2.*.relu", ["layer2.0.relu", "layer2.1.relu"]),
        (["stem", "layer2.1*"], ["stem.2", "layer2.1.relu"]),
        (lambda name, module: name == "stem.2" and isinstance(module, nn.ReLU), ["stem.2"]),
    ],
)
def test_where(where, expected):
    treated = activations(replace(ResNet(), "leaky_relu", where=where))
    assert [name for name, kind in treated.items() if kind == "LeakyReLU"] == expected


def test_only_layers_with_dead_units():
    model = ResNet()
    model.layer2[0].bn1.bias.data[1] = -100
    data = images()
    found = examine(model, data)
    expected = {"layer2.0.relu": "LeakyReLU"}
    for health in (found, _watched(model, data)):
        treated = activations(replace(model, "leaky_relu", where=health))
        assert {k: v for k, v in treated.items() if v == "LeakyReLU"} == expected
    healthy = replace(model, "leaky_relu", where=examine(ResNet(), data))
    assert activations(healthy) == activations(model)


def _watched(model, data):
    with watch(model, window=1, warn_above=1) as health:
        model(data)
    return health


def test_where_that_fits_nothing():
    with pytest.raises(ValueError, match=r"where='layer9' fits none .*: stem.2, layer1.relu, "):
        replace(ResNet(), where="layer9")


# --- And back ------------------------------------------------------------------------------


def through(how, model):
    if how == "deepcopy":
        return copy.deepcopy(model)
    if how == "pickle":
        return pickle.loads(pickle.dumps(model))
    if how == "torch.save":
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        return torch.load(file, weights_only=False)
    if how == "state_dict":
        other = replace(ResNet().eval(), "prelu")
        other.load_state_dict(model.state_dict())
        return other
    return model


@pytest.mark.parametrize("how", ["itself", "deepcopy", "pickle", "torch.save", "state_dict"])
def test_the_original_comes_back(how):
    model, x = ResNet().eval(), images()
    treated = through(how, replace(model, "prelu"))
    assert torch.equal(treated(x), replace(model, "prelu")(x))
    twice = replace(treated, "leaky_relu")  # what is put back is what was there at first
    for changed in (treated, twice):
        restored = restore(changed)
        assert torch.equal(restored(x), model(x))
        assert list(restored.state_dict()) == list(model.state_dict())
        assert activations(restored) == activations(model)
        assert type(restored.layer1) is Block
        assert str(restored) == str(model)
        assert restored.layer1.relu.inplace


def test_only_some_come_back():
    treated = replace(ResNet(), "leaky_relu")
    restore(treated, where="layer2", inplace=True)
    assert activations(treated) == {
        "stem.2": "LeakyReLU",
        "layer1.relu": "LeakyReLU",
        "layer2.0.relu": "ReLU",
        "layer2.1.relu": "ReLU",
    }


def test_a_slope_that_comes_back_is_of_the_model_as_it_is_now():
    model = nn.Sequential(nn.Linear(2, 2), nn.PReLU(init=0.7))
    treated = replace(model, "leaky_relu").double().eval()
    restored = restore(treated)
    assert restored[1].weight.dtype == torch.float64
    assert restored[1].weight.item() == pytest.approx(0.7)
    assert not restored[1].training


# --- Trained models go on as they were -----------------------------------------------------


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20),
    st.sampled_from([{"activation": "prelu:0"}, {"activation": "leaky_relu:0.3", "warm_up": 5}]),
)
def test_zero_slopes_are_relu(values, how):
    x = torch.tensor(values)
    treated = replace(nn.Sequential(nn.ReLU()), **how)
    assert torch.equal(treated(x), torch.relu(x))  # where -0.0 equals 0.0


@pytest.mark.parametrize(("spec", "warm_up"), [("prelu:0", 0), ("leaky_relu:0.1", 10)])
def test_a_network_goes_on_bit_for_bit(spec, warm_up):
    model, x = ResNet(), images()
    treated = replace(model, spec, warm_up=warm_up)
    results = [m(x) for m in (model, treated)]
    assert torch.equal(*results)
    for result in results:
        result.square().sum().backward()
    of_treated = {name: parameter.grad for name, parameter in treated.named_parameters()}
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, of_treated.pop(name)), name
    assert len(of_treated) == (0 if warm_up else 7)  # of slopes, which learn
    assert all(gradient != 0 for gradient in of_treated.values())


def test_warm_up_is_of_leaky_relu_alone():
    with pytest.raises(ValueError, match="warm_up is for leaky_relu, not for 'elu'"):
        replace(network(), "elu", warm_up=10)
    treated = replace(ResNet(), "leaky_relu:0.2", warm_up=10)
    assert set(activations(treated).values()) == {"WarmUpLeakyReLU"}
    assert isinstance(treated.layer1.relu2, WarmUpLeakyReLU)  # one for each call: they count


# --- Initial weights -----------------------------------------------------------------------


def test_reinitialized_weights_have_the_gain_of_the_activation():
    model = nn.Sequential(
        nn.Linear(400, 400), nn.LayerNorm(400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU()
    )
    model.append(nn.Linear(400, 400))
    treated = replace(model, "leaky_relu:0.5", reinitialize=True)
    expected = (2 / (1 + 0.5**2) / 400) ** 0.5
    for i in (0, 3):
        assert treated[i].weight.std().item() == pytest.approx(expected, rel=0.01)
        assert not treated[i].bias.any()
    assert torch.equal(treated[5].weight, model[5].weight)
    torch.manual_seed(1)
    once = replace(model, "leaky_relu:0.5", reinitialize=True)
    torch.manual_seed(1)
    again = replace(model, "leaky_relu:0.5", reinitialize=True)
    assert torch.equal(once[0].weight, again[0].weight)


def test_reinitialized_branches():
    model = ResNet()
    treated = replace(model, "leaky_relu", where="layer1", reinitialize=True)
    changed = [
        name
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, dict(treated.named_parameters())[name])
    ]
    # The second call's sum has the stem's output in it, but a rectifier is in between.
    assert changed == ["layer1.conv1.weight", "layer1.conv2.weight"]


def test_what_can_not_be_traced_can_not_be_reinitialized():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.relu = nn.Linear(2, 2), nn.ReLU()

        def forward(self, x):
            return self.relu(self.linear(x)) if x.sum() > 0 else x

    with pytest.raises(ValueError, match=r"can't tell which layer feeds relu.*control flow"):
        replace(Gate(), reinitialize=True)


# --- PyTorch's transformers ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("activation", [F.relu, "relu", nn.ReLU(), "gelu"])
def test_transformers_leave_their_fused_kernel(activation):
    """In evaluation it would compute ReLU whatever the layer's activation is."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padding = torch.randn(3, 5, 8), torch.arange(5).expand(3, 5) > torch.tensor([[2], [3], [4]])
    treated = replace(model, "leaky_relu:0.5")
    with torch.no_grad():
        found, was = (m(x, src_key_padding_mask=padding)[~padding] for m in (treated, model))
        expected = treated.train()(x, src_key_padding_mask=padding)[~padding]
        restored = restore(treated.eval())
        back = restored(x, src_key_padding_mask=padding)[~padding]
    torch.testing.assert_close(found, expected)
    assert (found - was).abs().max() > 0.01
    assert torch.equal(back, was)
    assert restored.use_nested_tensor
    assert activations(restored) == activations(model)


def test_an_activation_kept_as_a_function():
    model = nn.TransformerDecoderLayer(8, 2, 16)
    treated = replace(model, "prelu")
    assert activations(treated) == {"activation": "PReLU"}
    assert restore(treated).activation is F.relu
    model.activation = functools.partial(F.leaky_relu, negative_slope=0.3)
    assert activations(replace(model, "prelu")) == {"activation": "PReLU"}


# --- Bad input -----------------------------------------------------------------------------


def test_bad_input():
    with pytest.raises(ValueError, match="no activation module"):
        replace(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="an activation itself"):
        replace(nn.ReLU())
    with pytest.raises(ValueError, match="unknown activation"):
        replace(network(), "leeky")
    with pytest.raises(ValueError, match=r"nothing that replace\(\) put there"):
        restore(network())
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, but is function"):
        replace(F.relu)


def test_rescaled_weights_keep_their_draw():
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    treated = replace(model, "leaky_relu:0.5", rescale=True)
    gain = math.sqrt(2 / 1.25)
    for layer, before in ((0, parse("gelu").gain), (2, math.sqrt(2)), (4, gain)):
        expected = model[layer].weight * (gain / before)
        torch.testing.assert_close(treated[layer].weight, expected)
        assert torch.equal(treated[layer].bias, model[layer].bias)


def test_a_layer_that_feeds_two_is_rescaled_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.left, self.right = nn.Linear(2, 4), nn.ReLU(), nn.ReLU()

        def forward(self, x):
            x = self.below(x)
            return self.left(x) + self.right(-x)

    model = Twice()
    treated = replace(model, "leaky_relu:1", rescale=True)
    torch.testing.assert_close(treated.below.weight, model.below.weight / math.sqrt(2))


def test_what_it_was_is_what_stays_to_the_last_bit():
    for old in (nn.ReLU(), nn.LeakyReLU(0.2), nn.RReLU(0.1, 0.3), nn.PReLU(), nn.ELU(0.5)):
        model = nn.Sequential(nn.Linear(3, 5), old, nn.Linear(5, 1))
        spec = {
            nn.ReLU: "relu",
            nn.LeakyReLU: "leaky_relu:0.2",
            nn.RReLU: "rrelu:0.1:0.3",
            nn.PReLU: "prelu",
            nn.ELU: "elu:0.5",
        }[type(old)]
        assert torch.equal(replace(model, spec, rescale=True)[0].weight, model[0].weight)


def test_weights_are_drawn_anew_or_rescaled():
    with pytest.raises(ValueError, match="choose one"):
        replace(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), reinitialize=True, rescale=True)


@pytest.mark.parametrize("how", ["buffer", "attribute", "in_place", "list"])
def test_a_trace_leaves_what_forward_changes(how):
    class Running(nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.seen = nn.Linear(2, 4), []
            if how == "buffer":
                self.register_buffer("mean", torch.ones(4))
            else:
                self.mean = torch.ones(4)

        def forward(self, x):
            z = self.below(x)
            if how == "list":
                self.seen.append(z.detach())
            elif how == "in_place":
                self.mean.mul_(0.9).add_(0.1 * z.detach().mean(0))
            else:
                self.mean = 0.9 * self.mean + 0.1 * z.detach().mean(0)
            return F.relu(z) - self.mean

    model = Running()
    treated = replace(model, "leaky_relu:1", rescale=True)
    torch.testing.assert_close(treated.below.weight, model.below.weight / math.sqrt(2))
    for each in (model, treated):
        assert torch.equal(each.mean, torch.ones(4))
        assert each.seen == []
        assert ("mean" in dict(each.named_buffers())) == (how == "buffer")


def test_a_trace_knows_what_modules_share():
    class Part(nn.Module):
        def __init__(self, shared):
            super().__init__()
            self.below, self.act, self.shared = nn.Linear(2, 2), nn.ReLU(), shared

        def forward(self, x):
            self.shared["last"] = self.act(self.below(x)) + self.shared.get("last", 0.0)
            return self.shared["last"]

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = {}
            self.one, self.two = Part(self.shared), Part(self.shared)

        def forward(self, x):
            self.shared.clear()
            self.two(self.one(x))
            return self.shared["last"]

    model = Whole()
    treated = replace(model, "leaky_relu:1", rescale=True)
    torch.testing.assert_close(treated.two.below.weight, model.two.below.weight / math.sqrt(2))
    assert treated.shared == {}
    assert Graph(model, []).why_not == ""


def test_weights_that_are_computed_are_rescaled_where_they_can_be():
    def model(around):
        return nn.Sequential(around(nn.Linear(3, 3)), nn.ReLU(), nn.Linear(3, 1)).train()

    ways = nn.utils.parametrizations
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for how in ({"rescale": True}, {"reinitialize": True}):
            normed = model(ways.weight_norm)
            treated = replace(normed, "leaky_relu:1", **how)
            assert (treated[0].weight - normed[0].weight).abs().max() > 0.01
        treated = replace(normed, "leaky_relu:1", rescale=True)
        torch.testing.assert_close(treated[0].weight, normed[0].weight / math.sqrt(2))
        same = replace(normed, "relu", rescale=True)
        assert torch.equal(same[0].weight, normed[0].weight)
    for around in (ways.spectral_norm, ways.orthogonal):
        fixed = model(around)
        with pytest.warns(UserWarning, match="the initial weights of 0 were not changed, as a"):
            treated = replace(fixed, "leaky_relu:1", rescale=True)
        for name, tensor in fixed.state_dict().items():
            assert torch.equal(tensor, treated.state_dict()[name]), name


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_a_model_that_can_not_be_copied():
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 2)), nn.ReLU())
    with pytest.raises(
        ValueError, match=r"can't be copied: Only.*parametrizations.weight_norm; or"
    ):
        replace(model)
    with pytest.warns(UserWarning, match="the initial weights of 0 were not changed"):
        replace(model, rescale=True, inplace=True)


def test_sizes_must_be_known_to_rescale():
    model = nn.Sequential(nn.LazyLinear(2), nn.ReLU(), nn.LazyBatchNorm1d(), nn.ReLU())
    for how in ("rescale", "reinitialize"):
        with pytest.raises(
            ValueError, match=r"lazy layers, whose size is not known yet: 0, 2; give"
        ):
            replace(model, **{how: True})
    assert isinstance(replace(model[:2], "elu")[1], nn.ELU)


def test_why_there_is_nothing_to_swap():
    with pytest.raises(ValueError, match=r"can't replace 0: relu inside nn.RNN"):
        replace(nn.Sequential(nn.RNN(2, 2, nonlinearity="relu")))
    with pytest.warns(UserWarning, match=r"not replaced: 0: relu inside nn.RNNCell"):
        replace(nn.Sequential(nn.RNNCell(2, 2, nonlinearity="relu"), nn.ReLU()))
    with pytest.raises(ValueError, match=r"no activation module.*$") as plain:
        replace(nn.Sequential(nn.RNN(2, 2)))
    assert "torch.jit" not in str(plain.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(network())
    with pytest.raises(ValueError, match=r"give the model from before torch.jit.script"):
        replace(scripted)


# --- Activations that stay ---------------------------------------------------------------------

OTHERS = [nn.GLU, nn.Hardshrink, nn.Hardtanh, nn.LogSigmoid, nn.Softplus, nn.Softshrink]
OTHERS += [nn.Softsign, nn.Tanh, nn.Tanhshrink]


@pytest.mark.parametrize("other", OTHERS)
def test_modules_that_stay_are_named(other):
    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.Sequential(nn.ReLU(), other()))
    with pytest.warns(UserWarning, match="activations not replaced") as caught:
        treated = replace(model)
    (warning,) = caught
    expected = f"activations not replaced: {other.__name__} (2.1)"
    assert str(warning.message) == expected
    assert warning.filename == __file__
    assert type(treated[2][1]) is other


class Calling(nn.Module):
    """Calls functions that are not replaced, by several names."""

    def __init__(self):
        super().__init__()
        gates = nn.Sequential(nn.Tanh(), nn.Tanh())
        self.act, self.function, self.gates = nn.ReLU(), F.softsign, gates

    def forward(self, x):
        x = self.function(F.hardshrink(self.act(x)))
        return torch.tanh(x) + self.gates(x.tanh()) + self.helper(x) + torch.sigmoid(x)

    def helper(self, x):
        return F.tanhshrink(x)

    def loss(self, x):
        return F.softplus(x).mean()


def test_calls_that_stay_are_named():
    with pytest.warns(UserWarning, match="activations not replaced") as caught:
        replace(nn.Sequential(Calling(), nn.Sigmoid(), nn.Softmax(1)))
    (warning,) = caught
    told = (
        "softsign() (0), hardshrink() (0), tanh() (0), tanhshrink() (0), "
        "Tanh (0.gates.0, 0.gates.1)"
    )
    assert told in str(warning.message)


def test_many_that_stay_are_few_words():
    model = nn.Sequential(nn.ReLU(), *(nn.Tanh() for _ in range(100)))
    with pytest.warns(UserWarning, match=r"Tanh \(1, 2, 3, 4 and 96 more\)$"):
        replace(model)


@pytest.mark.parametrize("again", [functools.partial(replace, where="0"), restore])
def test_what_was_chosen_needs_no_such_words(again):
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        treated = replace(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again(treated)


def test_what_is_there_instead_is_told():
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with pytest.raises(
        ValueError, match=r"no activation module.*; activations not replaced: Tanh \(1\)$"
    ):
        replace(model)
