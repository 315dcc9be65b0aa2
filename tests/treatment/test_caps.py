"""What a place bounds from above stays bounded: the cap of ReLU6 and its like."""

import copy
import io
import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, replace, restore, treat
from leakyrelu.health import watch

X = torch.linspace(-20, 20, 2001).reshape(-1, 1)


class Calls(nn.Module):
    def __init__(self):
        super().__init__()
        self.below, self.above = nn.Linear(1, 8), nn.Linear(8, 2)

    def forward(self, x):
        return self.above(self.rectified(self.below(x)))


class Relu6(Calls):
    def rectified(self, x):
        return F.relu6(x)


class Hardtanh(Calls):
    def rectified(self, x):
        return F.hardtanh(x, 0.0, 6.0)


class HardtanhToOne(Calls):  # the default of its upper bound
    def rectified(self, x):
        return F.hardtanh(x, 0)


class HardtanhByName(Calls):
    def rectified(self, x):
        return F.hardtanh(x, max_val=3, min_val=0)


class HardtanhInPlace(Calls):
    def rectified(self, x):
        return F.hardtanh_(x * 1, 0, 2.5)


class Clamp(Calls):
    def rectified(self, x):
        return x.clamp(0, 4)


class ClampByName(Calls):
    def rectified(self, x):
        return torch.clamp(x, max=4.5, min=0)


class Inline(Calls):
    def rectified(self, x):
        return nn.ReLU6()(x)


class Module(Calls):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def rectified(self, x):
        return self.act(x)


MAKERS = {
    "F.relu6": (Relu6, 6),
    "F.hardtanh": (Hardtanh, 6),
    "F.hardtanh, to 1": (HardtanhToOne, 1),
    "F.hardtanh, by name": (HardtanhByName, 3),
    "F.hardtanh_": (HardtanhInPlace, 2.5),
    "clamp": (Clamp, 4),
    "clamp, by name": (ClampByName, 4.5),
    "nn.ReLU6()(x)": (Inline, 6),
    "nn.ReLU6": (lambda: Module(nn.ReLU6()), 6),
    "nn.ReLU6, in place": (lambda: Module(nn.ReLU6(inplace=True)), 6),
    "nn.Hardtanh": (lambda: Module(nn.Hardtanh(0, 5)), 5),
    "attribute": (lambda: Module(F.relu6), 6),
    "partial": (lambda: Module(partial(F.hardtanh, min_val=0, max_val=2)), 2),
    "partial clamp": (lambda: Module(partial(torch.clamp, min=0.0, max=7)), 7),
}


def made(name):
    torch.manual_seed(0)
    make, cap = MAKERS[name]
    return make().eval(), cap


def by_hand(model, cap, slope):
    z = model.below(X)
    return model.above(torch.minimum(torch.where(z > 0, z, slope * z), torch.tensor(float(cap))))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("slope", [0.0, 0.1, 0.5])
def test_a_leaky_relu6_keeps_its_cap(name, slope):
    model, cap = made(name)
    changed = replace(model, f"leaky_relu:{slope}", where=lambda *_: True)
    torch.testing.assert_close(changed(X), by_hand(model, cap, slope))
    torch.testing.assert_close(restore(changed)(X), model(X), rtol=0, atol=0)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("options", [{"activation": "prelu:0"}, {"warm_up": 10}])
def test_what_starts_as_relu_changes_no_output(name, options):
    model, cap = made(name)
    changed = replace(model, where=lambda *_: True, **options)
    assert torch.equal(changed(X), model(X))
    again = replace(changed, "leaky_relu:0.3", where=lambda *_: True)  # not only the first time
    torch.testing.assert_close(again(X), by_hand(model, cap, 0.3))
    assert torch.equal(restore(again)(X), model(X))


@pytest.mark.parametrize("name", MAKERS)
def test_treat_keeps_outputs(name):
    model, _ = made(name)
    with torch.no_grad():
        model.below.bias[:3] = -1000.0
        model.below.bias[3:6] = 10.0
    before = model(X)
    treatment = treat(model, X)
    assert torch.equal(model(X), before)
    assert "outputs: largest change 0 on 2,001 examples" in str(treatment)
    assert any("replaced by leaky_relu:0.1" in line for line in treatment.done)


def test_relu6_has_one_name_however_it_is_written():
    for name, (_, cap) in MAKERS.items():
        model, _ = made(name)
        if cap == 6:
            assert [layer.function for layer in examine(model, X).layers] == ["relu6"]


def test_a_capped_module_is_like_any_other():
    model, _ = made("nn.ReLU6")
    changed = replace(model, "leaky_relu:0.1")
    assert repr(changed.act) == "CappedLeakyReLU(negative_slope=0.1, cap=6)"
    assert isinstance(changed.act, nn.LeakyReLU)
    file = io.BytesIO()
    torch.save(changed, file)
    file.seek(0)
    for other in (copy.deepcopy(changed), torch.load(file, weights_only=False)):
        assert torch.equal(other(X), changed(X))
        assert repr(other.act) == repr(changed.act)
    assert torch.equal(torch.fx.symbolic_trace(changed)(X), changed(X))
    assert torch.equal(torch.jit.trace(changed, X)(X), changed(X))
    assert list(changed.state_dict()) == list(model.state_dict())
    (layer,) = examine(changed, X).layers
    assert (layer.layer, layer.function) == ("act", "leaky_relu")
    changed.train()
    with watch(changed, window=1) as health:
        changed(X).sum().backward()
    assert [each.layer for each in health.layers] == ["act"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_capped_module_is_exported_to_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    reference = pytest.importorskip("onnx.reference")
    changed = replace(made("nn.ReLU6")[0], "leaky_relu:0.1")
    torch.onnx.export(changed, (X,), tmp_path / "model.onnx", dynamo=False)
    found = reference.ReferenceEvaluator(onnx.load(tmp_path / "model.onnx"))
    (out,) = found.run(None, {found.input_names[0]: X.numpy()})
    torch.testing.assert_close(torch.from_numpy(out), changed(X).detach())


@pytest.mark.parametrize("function", [F.hardtanh, torch.clamp, partial(torch.clamp, min=-1)])
def test_what_is_no_rectifier_stays(function):
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), Module(function))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the hardtanh that stays
        changed = replace(model)
    assert isinstance(changed[1], nn.LeakyReLU)
    assert not isinstance(changed[2].act, nn.Module)


@pytest.mark.parametrize("act", [nn.GELU(), nn.SiLU(), nn.ELU(), nn.LeakyReLU(0.3), nn.PReLU()])
def test_a_leak_grows_only_where_there_was_none(act):
    model = nn.Sequential(nn.Linear(1, 4), act, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1)).eval()
    with pytest.warns(UserWarning, match="starts as ReLU, which 1 is not"):
        changed = replace(model, warm_up=10)
    assert torch.equal(changed(X), model(X))
    assert type(changed[1]) is type(act)
    with pytest.raises(ValueError, match="starts as ReLU, which 1 is not; leave warm_up= out"):
        replace(model, warm_up=10, where="1")
