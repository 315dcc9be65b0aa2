"""Calls in methods get modules, and the rest of the methods stays what it was."""

import copy
import functools
import inspect
import pickle
import traceback
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.functional import leaky_relu
from torch.utils.checkpoint import checkpoint

import leakyrelu
from leakyrelu import examine, replace, restore


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def modules_of(model):
    return {name: type(m).__name__ for name, m in model.named_modules() if "LU" in type(m).__name__}


class Calls(nn.Module):
    """Every way to call an activation, and calls that are none."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(9)])

    def forward(self, x):
        a, b, c, d, e, f, g, h, i = self.layers
        x = F.relu(a(x), inplace=True)
        x = torch.relu(b(x))
        x = c(x).relu()
        x = d(x).clamp(min=0)
        x = torch.clamp_min(e(x), 0.0)
        x = nn.ReLU()(f(x))
        x = leaky_relu(input=g(x), negative_slope=0.2)
        x = nn.functional.gelu(h(F.silu(x)), approximate="tanh")
        x = leakyrelu.relu(i(x))
        return x.clamp(0, 10).clamp(max=9) + F.prelu(x, x.mean())


def test_every_call_gets_a_module():
    model, x = Calls(), torch.randn(5, 4)
    treated = replace(model, "prelu:0.3", where="*")
    expected = ["relu", "relu2", "relu3", "clamp", "clamp_min", "relu4", "leaky_relu", "silu"]
    assert list(modules_of(treated)) == [*expected, "gelu", "relu5", "clamp2"]
    assert [m.cap for m in treated.modules() if hasattr(m, "cap")] == [10]  # see test_caps.py
    for module in treated.modules():
        if isinstance(module, nn.PReLU):
            module.weight.data.fill_(1)  # now they change nothing
    y = x
    for layer in model.layers:
        y = layer(y)
    assert torch.equal(treated(x), y.clamp(max=9) + F.prelu(y, y.mean()))
    layers = [layer.layer for layer in examine(treated, x).layers]
    assert [layer for layer in layers if "(model)" not in layer] == list(modules_of(treated))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return F.relu(self.layer(x))


class Autoencoder(nn.Module):
    """Its users call encode and decode, and forward has options and randomness."""

    def __init__(self, width=6):
        super().__init__()
        self.down, self.up, self.out = nn.Linear(4, width), nn.Linear(width, width), None
        self.out = nn.Linear(width, 4)
        self.calls = 0

    def encode(self, x, *, scale: "NotDefined" = 2.0):  # noqa: F821
        """Encode."""
        return F.relu(self.down(x)) * scale

    def decode(self, z):
        return self.out(torch.relu(self.up(z)))

    def forward(self, x, mask=None, keep=True):
        self.calls += 1
        z = self.encode(x)
        z = F.dropout(z, 0.5, training=self.training)
        if mask is not None:
            z = z * mask
        if z.sum() > 1e9 or not keep:
            raise ValueError("far off")
        return self.decode(z)


def test_all_methods_change_and_their_control_flow_stays():
    model, x = Autoencoder(), torch.randn(3, 4)
    treated = replace(model, "leaky_relu:0.3")
    assert modules_of(treated) == {"relu": "LeakyReLU", "relu2": "LeakyReLU"}
    assert isinstance(treated, Autoencoder)
    z = F.leaky_relu(model.down(x), 0.3) * 2
    y = model.out(F.leaky_relu(model.up(z), 0.3))
    assert torch.equal(treated.encode(x, scale=1.0) * 2, z)
    assert torch.equal(treated.decode(z), y)
    treated.eval()
    assert torch.equal(treated(x), y)
    masked, of_zeros = treated(x, mask=torch.zeros(6)), treated.decode(torch.zeros(3, 6))
    assert torch.equal(masked, of_zeros)
    assert not torch.equal(treated.train()(x), treated(x))
    assert treated.calls == 4
    assert str(inspect.signature(treated.encode)) == str(inspect.signature(model.encode))
    assert treated.encode.__doc__ == "Encode."


def test_what_it_became_can_be_read():
    treated = replace(Autoencoder())
    assert "return self.relu(self.down(x)) * scale" in inspect.getsource(treated.encode)
    with pytest.raises(ValueError, match="far off") as raised:
        treated(torch.randn(3, 4), keep=False)
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "forward"
    with pytest.raises(ValueError, match="far off") as raised:
        replace(Autoencoder(), where="(model)")(torch.randn(3, 4), keep=False)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_reads_what_it_became():
    model, x = Block(), torch.randn(3, 4)
    treated = replace(model, "leaky_relu:0.3")
    assert torch.equal(torch.jit.script(treated)(x), treated(x))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies_and_pickles(copied):
    treated = replace(Autoencoder(), "prelu").eval()
    again, x = copied(treated), torch.randn(3, 4)
    assert torch.equal(again(x), treated(x))
    restored = restore(again)
    assert type(restored) is Autoencoder
    assert list(restored.state_dict()) == list(Autoencoder().state_dict())


def test_some_calls_first_and_others_later():
    model = Calls()
    treated = replace(model, "elu", where="(model) #2")  # as examine names the second of a kind
    assert modules_of(treated) == {"relu": "ELU", "clamp": "ELU"}
    treated = replace(treated, "elu", where="(model)*")
    assert len(modules_of(treated)) == 11
    treated = restore(treated, where=["relu", "relu2"])
    assert len(modules_of(treated)) == 9
    assert type(restore(treated)) is Calls


def test_the_calls_with_dead_units():
    model, x = Calls(), torch.randn(50, 4)
    for layer in model.layers:
        nn.init.eye_(layer.weight)
        nn.init.constant_(layer.bias, 3)
    model.layers[1].bias.data[0] = model.layers[3].bias.data[0] = -100
    found = examine(model, x)
    names = [(layer.layer, layer.function) for layer in found.layers if layer.dead.any()]
    assert names == [("(model) #2", "relu"), ("(model)", "clamp")]
    treated = replace(model, "prelu:0.1", where=found)
    assert modules_of(treated) == {"relu": "PReLU", "clamp": "PReLU"}
    assert [layer.layer for layer in examine(treated, x).layers][1:4] == [
        "relu",
        "(model) #2",
        "clamp",
    ]


def test_calls_that_can_not_be_told_apart_are_taken_together():
    class Looped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, x):
            for layer in self.layers:
                x = F.relu(layer(x))
            return torch.relu(x)

    model = Looped()
    model.layers[1].bias.data[0] = -100
    found = examine(model, torch.randn(50, 4))
    assert list(modules_of(replace(model, where=found))) == ["relu", "relu2"]


def test_names_of_a_class_and_of_a_function_around_it():
    from torch import relu as rectify

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.__layer = nn.Linear(2, 2)

        def forward(self, x):
            return rectify(self.__layer(x)) + (lambda y: rectify(y))(x) + self.zero()

        def zero(self):
            return super().extra_repr() and rectify(torch.zeros(2))

    class Outer(Inner):
        pass

    Inner.zero = lambda self: 0.0  # no source to rewrite, and nothing to be rewritten
    model, x = Outer(), torch.randn(3, 2)
    treated = replace(model, "leaky_relu:1")
    assert torch.equal(treated(x), model._Inner__layer(x) + x)


def test_memory_format_autocast_checkpoint_and_compile():
    model, x = replace(Autoencoder(), "prelu").eval(), torch.randn(3, 4)
    assert torch.equal(checkpoint(model, x, use_reentrant=False), model(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(x).dtype == torch.bfloat16


def test_it_compiles_and_exports():
    model, x = replace(Calls(), "leaky_relu", where="*", warm_up=3), torch.randn(3, 4)
    compiled = torch.compile(copy.deepcopy(model), fullgraph=True, backend="aot_eager")
    for _ in range(4):
        torch.testing.assert_close(compiled(x), model(x))
    exported = torch.export.export(model.eval(), (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


# --- What is out of reach ------------------------------------------------------------------


def block(x, layer):
    return F.relu(layer(x))


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return F.relu(self.layer(x))


class Derived(Base):
    def forward(self, x):
        return self.last(torch.relu(super().forward(x)))


class Helped(Base):
    def forward(self, x):
        return torch.relu(self.last(block(x, self.layer)))


class PassedOn(Base):
    def forward(self, x):
        return torch.relu(functools.reduce(lambda y, f: f(y), [self.layer, F.relu], x))


class Dropped(Base):
    def forward(self, x):
        x = self.layer(x)
        F.relu(x, inplace=True)
        return torch.relu(self.last(x))


class Decorated(Base):
    @torch.no_grad()
    def features(self, x):
        return F.relu(x)

    def forward(self, x):
        return torch.relu(self.features(x))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Derived, "relu in Base.forward"),
        (Helped, "relu in block"),
        (PassedOn, "relu, which PassedOn.forward passes on"),
        (Dropped, "relu in Dropped.forward, whose result is not used"),
        (Decorated, "relu in Decorated.features"),
    ],
)
def test_calls_out_of_reach_are_told(kind, told):
    model = kind()
    with pytest.warns(UserWarning, match=rf"not replaced: \(model\): {told}.*nn.ReLU\(\) module"):
        treated = replace(model)
    assert modules_of(treated) == {"relu": "LeakyReLU"}


def test_clamps_may_be_no_activations():
    class Areas(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, lengths):
            lengths = lengths.clamp(min=0)
            return F.relu(self.layer(lengths.float()))

    told = r"\(model\): clamp in forward, which is replaced if where= selects it"
    with pytest.warns(UserWarning, match=told):
        treated = replace(Areas())
    treated(torch.tensor([[1, -2]]))
    assert modules_of(treated) == {"relu": "LeakyReLU"}
    assert len(modules_of(replace(Areas(), where=["*"]))) == 2


def test_a_method_that_forward_does_not_use_may_compute_a_loss():
    class Critic(Autoencoder):
        def loss(self, y, sign):
            return F.relu(1 - sign * y).mean()

        def embed(self, x):
            return torch.relu(self.up(x))

        def forward(self, x):
            return super().forward(x)

    model, y = Critic(), torch.randn(5)
    with pytest.warns(UserWarning, match=r"relu in .*Critic.loss, which forward does not use"):
        treated = replace(model, "leaky_relu:0.3")
    assert modules_of(treated) == {"relu": "LeakyReLU", "relu2": "LeakyReLU"}
    assert treated.loss(y, 1) == model.loss(y, 1)
    assert (treated.encode(torch.randn(3, 4)) < 0).any()


def test_a_forward_set_on_the_object():
    model = Base()
    model.forward = lambda x: F.relu(model.layer(x))
    with pytest.raises(ValueError, match="relu in forward, which was set on the object itself"):
        replace(model)


def test_without_source():
    space = {"nn": nn, "F": F}
    exec("class Hidden(nn.Module):\n  def forward(self, x):\n    return F.relu(x)", space)
    with pytest.raises(ValueError, match=r"relu in Hidden.forward \(no source at hand\)"):
        replace(nn.Sequential(nn.Linear(2, 2), space["Hidden"]()))


def test_source_that_was_changed_since(tmp_path):
    import importlib.util

    file = tmp_path / "changing.py"
    text = "from torch import nn, relu\nclass Net(nn.Module):\n    def forward(self, x):\n"
    file.write_text(text + "        return relu(x)\n")
    spec = importlib.util.spec_from_file_location("changing", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    file.write_text(text + "        return relu(x) + 17\n")
    with pytest.raises(ValueError, match="no source at hand"):
        replace(nn.Sequential(module.Net()))


def test_no_warning_without_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model in (Autoencoder(), nn.TransformerEncoderLayer(4, 1)):
            replace(model)
