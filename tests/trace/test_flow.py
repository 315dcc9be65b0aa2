"""Units are made new wherever that is safe, and what the model computes stays, bit for bit."""

import copy
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, revive, treat, watch


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def revived(model, data, layer, units):
    """Revive the units, and check that both modes compute what they did."""
    found = examine(model, data)
    modes = (True, False)
    before = []
    for mode in modes:
        torch.manual_seed(1)
        before.append(copy.deepcopy(model).train(mode)(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = revive(model, pickle.loads(pickle.dumps(found)))
    assert set(units) <= set(done.revived.get(layer, [])), done.refused
    torch.manual_seed(1)
    evaluated = copy.deepcopy(model).eval()(data)
    assert torch.equal(evaluated, before[1])
    now = {each.layer: each for each in examine(model, data).layers}
    assert not now[layer].dead[list(units)].all()
    return done


class ConvSame(nn.Conv2d):
    """A convolution with a forward of its own, as timm has them."""

    def forward(self, x):
        x = F.pad(x, (1, 1, 1, 1))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class NormAct(nn.BatchNorm2d):
    """A normalization and an activation in one, as timm has them."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        x = F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        return self.act(x)


def test_subclasses_with_a_forward_of_their_own():
    model = nn.Sequential(ConvSame(3, 6, 3), NormAct(6), ConvSame(6, 2, 3, padding=1))
    model[1].bias.data[[1, 4]] = -1e3
    revived(model, torch.randn(4, 3, 8, 8), "1.act", [1, 4])


def test_a_weight_that_is_only_asked_for_its_dtype():
    class Asking(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x):
            return self.b(F.relu(self.a(x.to(self.a.weight.dtype))).to(self.b.weight.dtype))

    model = Asking()
    model.a.bias.data[[1, 4]] = -1e3
    revived(model, torch.randn(9, 3), "(model)", [1, 4])


def test_gated_units():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(3, 6), nn.Linear(3, 6), nn.Linear(6, 3)

        def forward(self, x):
            return x + self.down(F.relu(self.gate(x)) * self.up(x))

    model = Gated()
    model.gate.bias.data[[1, 4]] = -1e3
    revived(model, torch.randn(9, 3), "(model)", [1, 4])


def test_a_concatenation():
    class Fire(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze = nn.Conv2d(3, 4, 1)
            self.one, self.two = nn.Conv2d(4, 5, 1), nn.Conv2d(4, 6, 3, padding=1)
            self.head = nn.Conv2d(11, 2, 1)

        def forward(self, x):
            x = F.relu(self.squeeze(x))
            return self.head(torch.cat([F.relu(self.one(x)), F.relu(self.two(x))], 1))

    model = Fire()
    model.two.bias.data[[0, 5]] = -1e3
    done = revived(model, torch.randn(4, 3, 8, 8), "(model) #3", [0, 5])
    assert not model.head.weight[:, [5, 10]].any()
    assert model.head.weight[:, [0, 4, 6, 9]].all()
    assert not done.refused


class Stream(nn.Module):
    """A residual stream that is normalized before it is rectified, as in later ResNets."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 1)
        self.norm1, self.conv1 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.norm2, self.conv2 = nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        x = self.stem(x)
        x = x + self.conv1(F.relu(self.norm1(x)))
        x = x + self.conv2(F.relu(self.norm2(x)))
        return self.head(x.mean((2, 3)))


def test_a_residual_stream_with_a_norm_of_its_own():
    model = Stream()
    model.norm2.bias.data[[1, 4]] = -1e3
    weights = copy.deepcopy(model.state_dict())
    revived(model, torch.randn(4, 3, 8, 8), "(model) #2", [1, 4])
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, weights[k])}
    assert changed == {"norm2.bias", "conv2.weight"}


def test_a_sum_has_one_branch_of_its_own():
    """The other one is a stream that goes on."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1, bias=False)
            self.norm, self.head = nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1)

        def forward(self, x):
            x = F.relu(self.stem(x))
            return self.head(F.relu(x + self.norm(self.conv(x))))

    model = Last()
    model.norm.bias.data[[1, 4]] = -1e3
    weights = copy.deepcopy(model.state_dict())
    revived(model, torch.randn(4, 3, 8, 8), "(model) #2", [1, 4])
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, weights[k])}
    assert changed == {"conv.weight", "norm.bias", "head.weight"}


def test_weights_the_other_way_round():
    """As in GPT-2: (inputs, units)."""

    class Other(nn.Module):
        def __init__(self, inputs, units):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(inputs, units))
            self.bias = nn.Parameter(torch.zeros(units))

        def forward(self, x):
            return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(
                *x.shape[:-1], -1
            )

    for inner in (4, 6):
        model = nn.Sequential(Other(inner, 6), nn.ReLU(), Other(6, inner))
        model[0].bias.data[[1, 4]] = -1e3
        revived(model, torch.randn(5, 7, inner), "1", [1, 4])
        assert not model[2].weight[[1, 4]].any()
        assert model[2].weight[[0, 2, 3, 5]].all()


def test_watching_knows_where_units_flow_and_what_evaluation_uses():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 6), nn.Linear(6, 2), nn.Linear(6, 2)

        def forward(self, x):
            y = F.relu(self.a(x))
            return self.b(y) if self.training else self.b(y) + self.c(y)

    model, data = Extra(), torch.randn(9, 3)
    model.a.bias.data[[1, 4]] = -1e3
    with watch(model, window=2, warn_above=1) as health:
        for _ in range(2):
            model.train()(data).sum().backward()
            before = model.eval()(data)
    assert revive(model, health).revived == {"(model)": [1, 4]}
    assert not model.c.weight[:, [1, 4]].any()
    assert torch.equal(model.eval()(data), before)


def test_a_model_that_changes_its_parameters_while_it_trains_is_left_alone():
    class Teacher(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 6), nn.Linear(6, 2)

        def forward(self, x):
            if self.training:
                with torch.no_grad():
                    self.a.weight.mul_(0.9)
            return self.b(F.relu(self.a(x)))

    model = Teacher()
    before = copy.deepcopy(model.state_dict())
    examine(model, torch.randn(9, 3))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["opt", "bert", "t5", "gpt2"])
def test_transformers(name):
    transformers = pytest.importorskip("transformers")
    size = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    if name == "opt":
        config = transformers.OPTConfig(**size, ffn_dim=12, word_embed_proj_dim=8, dropout=0.0)
        model = transformers.OPTForCausalLM(config)
        biases, count = [m for n, m in model.named_parameters() if n.endswith("fc1.bias")], 2
    elif name == "bert":
        config = transformers.BertConfig(**size, intermediate_size=12, hidden_act="relu")
        model = transformers.BertForSequenceClassification(config)
        biases = [m for n, m in model.named_parameters() if n.endswith("intermediate.dense.bias")]
        count = 2
    elif name == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=30, n_embd=8, n_layer=2, n_head=2, activation_function="relu"
        )
        model = transformers.GPT2LMHeadModel(config)
        biases, count = [m for n, m in model.named_parameters() if n.endswith("c_fc.bias")], 2
    else:
        config = transformers.T5Config(
            vocab_size=30, d_model=8, d_kv=4, d_ff=12, num_layers=2, num_heads=2
        )
        model = transformers.T5EncoderModel(config)
        biases, count = [], 2
    model.eval()
    tokens = torch.randint(1, 30, (3, 7))
    for bias in biases:
        bias.data[[1, 4]] = -1e3
    if not biases:  # of T5, which has none
        for name_of, weight in model.named_parameters():
            if name_of.endswith("wi.weight"):
                weight.data[[1, 4]] = 0
    before = model(tokens)[0]
    found = examine(model, tokens)
    assert len(found.layers) >= count
    done = revive(model, found)
    assert len(done.revived) == count
    assert all({1, 4} <= set(units) for units in done.revived.values())
    assert torch.equal(model(tokens)[0], before)


# --- Drawn at random -------------------------------------------------------------------------


@st.composite
def networks(draw):
    """Return what `Drawn` is made of."""
    width = draw(st.integers(2, 4)) * 2
    return (
        draw(st.sampled_from(["conv", "linear"])),
        width,
        draw(
            st.lists(
                st.sampled_from(
                    ["plain", "norm", "residual", "joined", "split", "gate", "moved", "twice"]
                ),
                min_size=1,
                max_size=4,
            )
        ),
        draw(st.sets(st.integers(0, width - 1), min_size=1, max_size=width - 1)),
        draw(st.integers(0, 10**6)),
    )


class Drawn(nn.Module):
    """Blocks of layers, norms, sums, concatenations, splits, products and permutations."""

    def __init__(self, kind, width, blocks):
        super().__init__()
        self.kind, self.blocks = kind, blocks

        def layer(a, b):
            return nn.Conv1d(a, b, 1) if kind == "conv" else nn.Linear(a, b)

        self.stem, self.head = layer(3, width), layer(width, 2)
        self.a = nn.ModuleList(layer(width, width) for _ in blocks)
        self.b = nn.ModuleList(layer(width, width) for _ in blocks)
        self.c = nn.ModuleList(layer(2 * width, width) for _ in blocks)
        self.halves = nn.ModuleList(layer(width // 2, width) for _ in blocks)
        norm = nn.BatchNorm1d if kind == "conv" else nn.LayerNorm
        self.norm = nn.ModuleList(norm(width) for _ in blocks)

    def forward(self, x):
        axis = 1 if self.kind == "conv" else 2
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            y = self.a[i](x)
            if block == "plain":
                x = self.b[i](F.relu(y))
            elif block == "norm":
                x = self.b[i](F.relu(self.norm[i](y)))
            elif block == "residual":
                x = x + self.b[i](F.relu(self.norm[i](x)))
            elif block == "joined":
                x = self.c[i](torch.cat([F.relu(y), x], axis))
            elif block == "split":
                one, two = F.relu(y).chunk(2, axis)
                x = self.halves[i](one) + self.b[i](torch.cat([two, two], axis))
            elif block == "gate":
                x = self.b[i](F.relu(y) * self.b[i - 1](x).sigmoid())
            elif block == "moved":
                x = self.b[i](F.relu(y.transpose(1, 2)).transpose(1, 2).flip(axis))
            elif block == "twice":
                z = F.relu(y)
                x = self.b[i](z) + z
        return self.head(F.relu(x))


@settings(max_examples=60, deadline=None)
@given(networks())
def test_outputs_stay_whatever_is_between(network):
    """What is revived, of any units in any network, leaves outputs as they are to the last bit."""
    kind, width, blocks, dead, seed = network
    torch.manual_seed(seed)
    model = Drawn(kind, width, blocks).eval()
    for layer in (*model.a, *model.norm, model.stem):
        layer.bias.data[sorted(dead)] = -50.0
    data = torch.randn(6, 3, 5) if kind == "conv" else torch.randn(6, 5, 3)
    before = model(data)
    found = examine(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        done = revive(model, found)
    assert torch.equal(model(data), before)
    layers = {layer.layer: layer for layer in found.layers}
    plain = [i for i, block in enumerate(blocks) if block in ("plain", "norm", "joined", "moved")]
    for i in plain:
        name = "(model)" if i == 0 else f"(model) #{i + 1}"
        used_again = any(block == "gate" for block in blocks)  # shares weights with another
        if layers[name].dead.any() and not used_again:
            assert done.revived.get(name) == layers[name].dead.nonzero().flatten().tolist()


def test_treat_changes_no_output():
    model = nn.Sequential(ConvSame(3, 6, 3), NormAct(6), ConvSame(6, 2, 3, padding=1))
    model[1].bias.data[[1, 4]] = -1e3
    treatment = treat(model, torch.randn(4, 3, 8, 8))
    assert "largest change 0 " in treatment.outputs
    assert not treatment.after.layers[0].dead.any()


class Shifted(nn.Module):
    """Two layers of which the shift of each unit is a parameter of the model itself."""

    def __init__(self, shift):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4, bias=False), nn.Linear(4, 2)
        self.weight = nn.Parameter(torch.randn(3, 4))
        self.bias = nn.Parameter(torch.tensor([-100.0, 0.0, 0.1, 0.2]))
        self.shift = shift

    def forward(self, x):
        return self.last(torch.relu(self.shift(self, x)))


SHIFTS = {
    "behind a layer": lambda m, x: m.first(x) + m.bias,
    "before it": lambda m, x: m.bias + m.first(x),
    "taken away": lambda m, x: m.first(x) - -m.bias,
    "in place": lambda m, x: m.first(x).add_(m.bias),
}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_a_shift_beside_the_layer_keeps_units_dead_so_they_are_refused(shift):
    model, x = Shifted(shift), torch.randn(50, 3)
    found = examine(model, x)
    assert found.layers[0].dead.tolist() == [True, False, False, False]
    with pytest.warns(UserWarning, match="bias is added to the output of first"):
        done = revive(model, found)
    assert not done.revived


@pytest.mark.parametrize("product", [torch.matmul, torch.mm, lambda x, w: x @ w])
def test_a_shift_that_is_the_bias_of_the_weight_is_made_new(product):
    model = Shifted(lambda m, x: product(x, m.weight) + m.bias)
    revived(model, torch.randn(50, 3), "(model)", [0])
