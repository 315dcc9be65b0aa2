"""Dead units are made new, and the model computes what it did."""

import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, replace, revive, watch


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, channels=4):
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
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Functional(nn.Module):
    """PyTorch's first example of a network for images."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 8, 3)
        self.drop = nn.Dropout2d()
        self.fc1, self.fc2 = nn.Linear(32, 10), nn.Linear(10, 3)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.drop(self.conv2(x)), 2))
        x = x.view(-1, 32)
        x = F.dropout(F.relu(self.fc1(x)), training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def mlp(*between):
    return nn.Sequential(nn.Linear(5, 6), *between, nn.ReLU(), nn.Dropout(), nn.Linear(6, 3))


# Each: the model, the parameter whose entries kill, the layer of the dead units, the data.
def conv(*after, last, padding=0):
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=padding), nn.ReLU(), *after, last)


IMAGES, ROWS, SEQUENCES = (16, 1, 14, 14), (20, 5), (4, 7, 5)
MODELS = {
    "linear": (lambda: mlp(), "0.bias", "1", ROWS),
    "sequence": (lambda: mlp(), "0.bias", "1", SEQUENCES),
    "sequence flattened": (
        lambda: nn.Sequential(
            nn.Linear(5, 6), nn.ReLU(), nn.Flatten(), nn.Linear(42, 6), nn.ReLU(), nn.Linear(6, 3)
        ),
        "0.bias",
        "1",
        SEQUENCES,
    ),
    "batch norm": (lambda: mlp(nn.BatchNorm1d(6)), "1.bias", "2", ROWS),
    "layer norm": (lambda: mlp(nn.LayerNorm(6)), "1.bias", "2", ROWS),
    "residual": (ResNet, "blocks.1.bn1.bias", "blocks.1.relu", IMAGES),
    "conv to conv": (lambda: conv(last=nn.Conv2d(6, 4, 3, padding=1)), "0.bias", "1", IMAGES),
    "conv to flat": (
        lambda: conv(nn.MaxPool2d(2), nn.Flatten(), last=nn.Linear(216, 3)),
        "0.bias",
        "1",
        IMAGES,
    ),
    "conv to pooled": (
        lambda: conv(nn.AdaptiveAvgPool2d(1), nn.Flatten(), last=nn.Linear(6, 3)),
        "0.bias",
        "1",
        IMAGES,
    ),
    "groups": (lambda: conv(last=nn.Conv2d(6, 4, 3, groups=2)), "0.bias", "1", IMAGES),
    "depthwise": (lambda: conv(last=nn.Conv2d(6, 6, 3, groups=6)), "0.bias", "1", IMAGES),
    "group norm": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 2, 3)
        ),
        "1.bias",
        "2",
        IMAGES,
    ),
    "transposed": (
        lambda: conv(last=nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2)),
        "0.bias",
        "1",
        IMAGES,
    ),
    "from transposed": (
        lambda: nn.Sequential(nn.ConvTranspose2d(1, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 2, 3)),
        "0.bias",
        "1",
        IMAGES,
    ),
    "calls": (Functional, "conv2.bias", "(model) #2", IMAGES),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(5, 1, 6, batch_first=True),
        "linear1.bias",
        "(model)",
        SEQUENCES,
    ),
    "transformers": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(5, 1, 6), 2),
        "layers.1.linear1.bias",
        "layers.1",
        SEQUENCES,
    ),
}
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")


def killed(name, units=(0, 3)):
    """Return a model with dead units, their layer, and data."""
    make, bias, layer, shape = MODELS[name]
    model = make()
    model.get_parameter(bias).data[list(units)] = -1e3
    return model, layer, torch.randn(shape)


@pytest.mark.parametrize("name", MODELS)
def test_the_function_stays_and_the_units_fire_and_learn(name):
    model, layer, data = killed(name)
    model.eval()
    before = model(data)
    was = examine(model, data)
    of_layer = [found.layer for found in was.layers].index(layer)
    assert was.layers[of_layer].dead[[0, 3]].all()

    done = revive(model, was)
    assert set(done.revived[layer]) >= {0, 3}
    assert torch.equal(model(data), before)
    now = examine(model, data).layers[of_layer]
    assert not now.dead.any()

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bias = model.get_parameter(MODELS[name][1])
    for _ in range(2):  # the first step changes the outgoing weights, that are 0
        optimizer.zero_grad()
        model(data).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert (bias.grad[[0, 3]] != 0).all()


@pytest.mark.parametrize("name", ["linear", "residual", "groups", "layer norm"])
def test_it_stays_in_training_mode_too(name):
    """Where no statistic of the batch is of the units alone."""
    model, _, data = killed(name)
    torch.manual_seed(3)
    before = copy.deepcopy(model)(data)
    revive(model, examine(model, data))
    torch.manual_seed(3)
    assert torch.equal(model(data), before)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(MODELS)), st.sets(st.integers(0, 3), min_size=1), st.data())
def test_any_units(name, units, data):
    torch.manual_seed(data.draw(st.integers(0, 99)))
    model, layer, x = killed(name, sorted(units))
    model.eval()
    before, found = model(x), examine(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of units of other layers that were born dead
        done = revive(model, found)
    assert set(done.revived[layer]) >= units
    assert torch.equal(model(x), before)


def test_the_model_is_left_as_it_was_but_for_its_weights():
    model, _, data = killed("residual")
    model.blocks[0].eval()
    model.blocks[1].conv1.weight.grad = torch.ones_like(model.blocks[1].conv1.weight)
    modes = [module.training for module in model.modules()]
    before = copy.deepcopy(model.state_dict())
    revive(model, examine(model, data))
    assert [module.training for module in model.modules()] == modes
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {f"blocks.1.{k}" for k in ("conv1.weight", "bn1.bias", "conv2.weight")}


def test_new_weights_are_he_normal_and_repeatable():
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 1))
    model[0].bias.data[:100] = -1e3
    found = examine(model, torch.randn(50, 300))
    one, other = copy.deepcopy(model), copy.deepcopy(model).to(torch.float64)
    for copied in (one, other):
        revive(copied, found, generator=torch.Generator().manual_seed(7))
    assert torch.equal(one[0].weight[:100].double(), other[0].weight[:100])
    assert one[0].weight[:100].std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.02)
    assert torch.equal(one[0].weight[100:], model[0].weight[100:])
    assert not one[0].bias[:100].any()
    assert not one[2].weight[:, :100].any()


def test_a_layer_norm_keeps_the_others_as_they_are():
    """A unit may be down by its shift, or as what is normalised is always on one side."""
    model = mlp(nn.LayerNorm(6)).eval()
    with torch.no_grad():
        model[0].bias[1] = -100  # always below the mean of the others
        model[1].bias[0] = -100
    data = torch.randn(50, 5)
    before, weight = model(data), model[0].weight.clone()
    done = revive(model, examine(model, data))
    assert done.revived == {"2": [0, 1]}
    assert torch.equal(model(data), before)
    assert torch.equal(model[0].weight, weight)
    assert model[1].weight[:2].tolist() == [1, -1]
    assert not examine(model, data).layers[0].dead.any()


def test_a_dead_network_learns():
    """All units of all layers are dead: no gradient gets through at all."""
    model = nn.Sequential(
        nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    x = torch.randn(200, 2)
    y = (x[:, :1] * x[:, 1:] > 0).float()
    for i in (0, 2):
        model[i].bias.data.fill_(-100)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def train(steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(model(x), y)
            loss.backward()
            optimizer.step()
        return loss.item()

    assert train(150) == pytest.approx(0.69, abs=0.01)  # no better than chance
    done = None
    for _ in range(2):
        done = revive(model, examine(model, x), optimizer=optimizer, after=done)
        loss = train(150)
    assert loss < 0.2


# --- Dormant units -------------------------------------------------------------------------


def dormant_model(*after, last):
    """Return a model whose unit 2 gives a constant, a small one, and whose unit 4 is dead."""
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), *after, last)
    with torch.no_grad():
        model[0].weight.mul_(10)
        model[0].weight[2] = 0
        model[0].bias[2] = 0.01
        model[0].bias[4] = -1000
    return model.eval()


@pytest.mark.parametrize(
    "after", [(nn.Linear(6, 3),), (nn.Linear(6, 3, bias=False), nn.BatchNorm1d(3))]
)
@pytest.mark.parametrize("norm", [(), (nn.BatchNorm1d(6),)])
def test_the_mean_of_a_dormant_unit_goes_to_the_next_bias(after, norm):
    model = dormant_model(*norm, last=nn.Sequential(*copy.deepcopy(after), nn.Linear(3, 2)))
    data = torch.randn(100, 5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight), nn.init.normal_(module.bias)
    before, found = model(data), examine(model, data)
    assert revive(copy.deepcopy(model), found).revived == {"1": [4]}
    assert revive(model, found, tau=0.025).revived == {"1": [2, 4]}
    torch.testing.assert_close(model(data), before)
    assert model[0].weight[2].any()
    assert examine(model, data).layers[0].counts.fired[[2, 4]].all()


def test_a_mean_that_no_bias_can_take():
    model = dormant_model(last=nn.Linear(6, 3, bias=False))
    data = torch.randn(100, 5)
    found, before = examine(model, data), copy.deepcopy(model.state_dict())
    with pytest.warns(UserWarning, match="1: 2 has no bias to take over their mean output"):
        done = revive(model, found, tau=0.025)
    assert list(done.refused) == ["1"]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert revive(model, found).revived == {"1": [4]}  # a dead one gives nothing


def test_leaky_units_are_dormant_at_most():
    model = replace(dormant_model(last=nn.Linear(6, 3)), "leaky_relu:1e-7")
    data = torch.randn(100, 5)
    found, before = examine(model, data), model(data)
    assert revive(model, found).revived == {}
    assert revive(model, found, tau=0.025).revived == {"1": [2, 4]}
    torch.testing.assert_close(model(data), before, atol=1e-4, rtol=1e-4)


# --- Normalization after the activation ----------------------------------------------------


def test_a_constant_behind_a_batch_norm():
    model = conv(nn.BatchNorm2d(6), last=nn.Conv2d(6, 3, 3)).eval()
    model[0].bias.data[2] = -100
    nn.init.normal_(model[2].weight), nn.init.normal_(model[2].bias)
    model[2].running_mean.normal_()
    data = torch.randn(IMAGES)
    before = model(data)
    assert revive(model, examine(model, data)).revived == {"1": [2]}
    torch.testing.assert_close(model(data), before)
    norm = model[2]
    values = [t[2].item() for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
    assert values == [1, 0, 0, 1]


def test_a_constant_that_padding_makes_a_shape_of():
    for last in (nn.Conv2d(6, 3, 3, padding=1), nn.ConvTranspose2d(6, 3, 3)):
        model = conv(nn.BatchNorm2d(6), last=last).eval()
        model[0].bias.data[2] = -100
        model[2].bias.data.fill_(1)
        data = torch.randn(IMAGES)
        with pytest.warns(
            UserWarning, match="they give 3 a constant, which its bias can't take over"
        ):
            assert not revive(model, examine(model, data)).revived


# --- Again ---------------------------------------------------------------------------------


def test_a_unit_is_not_revived_twice_in_a_row():
    model, layer, data = killed("linear")

    def kill():
        model[0].bias.data[[0, 3]] = -100
        return examine(model, data)

    first = revive(model, kill())
    model[0].bias.data[1] = -100
    second = revive(model, kill(), after=first)
    assert (second.revived, second.resting) == ({layer: [1]}, {layer: [0, 3]})
    assert (
        str(second)
        == "1 unit reinitialized:\n- 1: 1\n- 1: 0, 3 left alone, reinitialized the time before"
    )
    third = revive(model, kill(), after=pickle.loads(pickle.dumps(second)))
    assert third.revived == {layer: [0, 3]}


def test_from_watching():
    model, layer, data = killed("calls")
    with watch(model, window=2, warn_above=1) as health:
        for _ in range(2):
            model(data).sum().backward()
    found = revive(model, health).revived
    assert set(found[layer]) >= {0, 3}


def test_nothing_to_do():
    model = mlp()
    with torch.no_grad():
        model[0].bias.fill_(5)
    done = revive(model, examine(model, torch.randn(ROWS)))
    assert (done.revived, done.resting, done.refused) == ({}, {}, {})
    assert str(done) == "0 units reinitialized."


# --- What is refused -----------------------------------------------------------------------


class Branching(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.one, self.two, self.three = (nn.Linear(4, 4) for _ in range(3))
        self.norm, self.cell = nn.LayerNorm(4), nn.GRU(4, 4, batch_first=True)
        self.conv = nn.Conv1d(4, 4, 1)

    def forward(self, x):
        one, relu = self.one(x), torch.relu
        kind = self.kind
        if kind == "returned":
            return relu(one)
        if kind == "added":
            return self.two(relu(one) + x)
        if kind == "used before":
            return self.two(relu(one)) * one
        if kind == "sum of two":
            return self.three(relu(one + self.two(x)))
        if kind == "normalised":
            return self.two(self.norm(relu(one)))
        if kind == "joined":
            return self.two(torch.cat([relu(one), x], 1)[:, :4])
        if kind == "recurrent":
            return self.cell(relu(one)[:, None])[0]
        if kind == "called twice":
            return self.two(self.two(relu(one)))
        if kind == "by function":
            return F.linear(relu(one), self.two.weight)
        if kind == "tied by function":
            return F.linear(self.two(relu(one)), self.one.weight)
        if kind == "turned":
            return self.conv(relu(one)[:, :, None])
        if kind == "evaluation":
            y = relu(one)
            return self.two(y) if self.training else self.two(y) + self.three(y)
        if kind == "no flattening":
            return self.two(relu(one).view(x.size(0) * 2, -1).repeat(1, 2))
        if kind == "control flow":
            return self.two(relu(one)) if x.sum() > -1e9 else x
        raise AssertionError(kind)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("returned", "its units flow into the output of the model"),
        ("added", r"its units flow into add in \(model\)"),
        ("used before", r"the output of one \(Linear\) has other uses, too"),
        ("normalised", r"its units flow into norm \(LayerNorm\)"),
        ("recurrent", r"its units flow into cell \(GRU\)"),
        ("called twice", "two is called more than once"),
        ("tied by function", "one shares its weights with something else"),
        ("no flattening", r"its units flow into two \(Linear\), several into one of its inputs"),
    ],
)
def test_what_is_not_safe_is_refused_by_name(kind, reason):
    model, data = Branching(kind), torch.randn(20, 4)
    model.one.bias.data[1] = model.two.bias.data[1] = -100
    found, before = examine(model, data), copy.deepcopy(model.state_dict())
    with pytest.warns(
        UserWarning, match=rf"some units can't be reinitialized: \(model\): {reason}"
    ):
        done = revive(model, found)
    assert done.revived == {}
    assert list(done.refused) == ["(model)"]
    assert "(model): not reinitialized: " in str(done)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "kind", ["joined", "by function", "turned", "evaluation", "control flow", "sum of two"]
)
def test_what_is_safe_is_done(kind):
    model, data = Branching(kind), torch.randn(20, 4)
    model.one.bias.data[1] = -100
    before = [copy.deepcopy(model).train(mode)(data) for mode in (True, False)]
    assert revive(model, examine(model, data)).revived == {"(model)": [1]}
    for mode, was in zip((True, False), before, strict=True):
        assert torch.equal(model.train(mode)(data), was)
    assert not examine(model, data).layers[0].dead.any()


def test_tied_frozen_and_computed_weights_are_refused():
    tied, frozen, computed = mlp(), mlp(), mlp()
    tied.append(nn.Linear(5, 6))
    tied[4].weight = tied[0].weight
    tied[3] = nn.Linear(6, 5)
    frozen[3].requires_grad_(False)
    nn.utils.parametrizations.weight_norm(computed[3])
    reasons = ["0 shares its weights", "3 is frozen", "the weight of 3 is computed"]
    for model, reason in zip((tied, frozen, computed), reasons, strict=True):
        model[0].bias.data[0] = -1e3
        with pytest.warns(UserWarning, match=f"1: {reason}"):
            revive(model, examine(model, torch.randn(ROWS)))


def test_the_stream_of_a_residual_network_is_refused_and_its_branches_are_not():
    model = ResNet().eval()
    for bias in (model.stem[1].bias, model.blocks[0].bn1.bias, model.blocks[1].bn1.bias):
        bias.data[2] = -1e3
    data = torch.randn(IMAGES)
    before = model(data)
    with pytest.warns(UserWarning, match=r"stem.2: its units flow into add in blocks.0"):
        done = revive(model, examine(model, data))
    assert done.revived == {"blocks.0.relu": [2], "blocks.1.relu": [2]}
    assert torch.equal(model(data), before)


def test_a_part_that_is_called_more_than_once():

    class Gated(nn.Module):
        def __init__(self, times):
            super().__init__()
            self.part, self.times = mlp(), times
            self.part[-1] = nn.Linear(6, 5)

        def forward(self, x):
            for _ in range(self.times):
                x = self.part(x)
            return x if x.sum() > 0 else -x

    data = torch.randn(ROWS)
    model = Gated(1).eval()
    model.part[0].bias.data[0] = -1e3
    before = model(data)
    assert revive(model, examine(model, data)).revived == {"part.1": [0]}
    assert torch.equal(model(data), before)
    model = Gated(2)
    model.part[0].bias.data[0] = -1e3
    with pytest.warns(UserWarning, match="part.1: part.3 is called more than once"):
        assert not revive(model, examine(model, data)).revived


def test_tracing_leaves_nothing_behind():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.last = nn.Linear(4, 4), nn.Linear(4, 2), None
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x, mask=None):
            self.last = torch.relu(self.one(x))
            if mask is not None:
                self.last = self.last * mask
            return self.two(self.last)

    model = Remembering()
    model.one.bias.data[0] = -100
    found = examine(model, torch.randn(20, 4))
    model.last = None
    assert revive(model, found).revived == {"(model)": [0]}
    assert model.last is None


def test_hooks_are_kept_and_not_run():
    model, layer, data = killed("residual")
    found, seen = examine(model, data), []
    for module in model.modules():
        module.register_forward_hook(lambda _, __, x: seen.append(x.mean().item()))
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean().item()))
    assert revive(model, found).revived == {layer: [0, 3]}
    assert not seen
    model(data)
    assert len(seen) > 20


def test_after_replacing_calls():
    """What was a call is a module of the graph."""
    model, _, data = killed("calls")
    treated = replace(model, "relu").eval()
    before = treated(data)
    done = revive(treated, examine(treated, data))
    assert set(done.revived["relu2"]) >= {0, 3}
    assert torch.equal(treated(data), before)


def test_bad_input():
    model, _, data = killed("linear")
    found = examine(model, data)
    with pytest.raises(TypeError, match=r"must be a torch.nn.Module, but is Tensor"):
        revive(data, found)
    with pytest.raises(ValueError, match="tau must not be negative, but is -1"):
        revive(model, found, tau=-1)
    other = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 3))
    with pytest.warns(UserWarning, match="0 makes 7 units, but health= has 6"):
        revive(other, found)
    with pytest.warns(UserWarning, match="1: model has no 3, as that of health= has"):
        revive(other[:3], found)
