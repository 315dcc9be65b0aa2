"""A cure that fits the cause, and the proof of it."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import examine, watch
from leakyrelu.treatment import Reviver, WarmUpLeakyReLU, _treat, treat

DATA = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


def network(depth=2, width=12):
    layers = []
    for number in range(depth):
        layers += [nn.Linear(width if number else 4, width), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    with torch.no_grad():
        for linear in model[:-1:2]:
            linear.bias.fill_(0.5)  # every unit fires for some example
    return model


def kill(linear, units=slice(None)):
    with torch.no_grad():
        linear.bias[units] = -100.0


def loss(model):
    return (model(DATA) - DATA.prod(1, keepdim=True)).square().mean()


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()


def test_killed_units_are_revived_and_get_a_leak():
    model = network()
    kill(model[0], slice(5))
    before = model(DATA)
    treatment = treat(model, DATA)
    assert torch.equal(model(DATA), before)
    assert int(treatment.before.layers[0].dead.sum()) == 5
    assert not any(layer.dead.any() for layer in treatment.after.layers)
    assert isinstance(model[1], WarmUpLeakyReLU)
    assert isinstance(model[3], nn.ReLU)  # none of its units had died
    assert "1: 5 killed units reinitialized" in str(treatment)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    weights = model[0].weight.detach().clone()
    train(model, optimizer, 20)
    assert (model[0].weight[:5] != weights[:5]).all()


def test_without_a_leak_the_activations_stay():
    model = network()
    kill(model[0], slice(5))
    treatment = treat(model, DATA, leak=None)
    assert isinstance(model[1], nn.ReLU)
    assert not treatment.after.layers[0].dead.any()


def test_a_blocked_network_is_opened_from_below():
    model = network(4)
    kill(model[2]), kill(model[4])
    treatment = treat(model, DATA)
    assert treatment.before.layers[1].dead.all()
    assert not any(layer.dead.all() for layer in treatment.after.layers)
    assert [line.split(":")[0] for line in treatment.done[:2]] == ["3", "5"]
    assert "signs of the weights of 2 flipped" in treatment.done[0]
    loss(model).backward()
    assert (model[0].weight.grad != 0).any()


def test_units_that_starve_live_when_the_layer_below_does():
    model = network(2)
    kill(model[0])
    with torch.no_grad():
        model[2].bias.fill_(-0.01)  # dead for want of anything but zeros
    treatment = treat(model, DATA)
    assert treatment.before.layers[1].dead.all()
    assert sum("signs" in line for line in treatment.done) == 1
    assert not treatment.after.layers[1].dead.all()


def watched(model, change=None, steps=20):
    """Train without learning, so that the causes are those that were made."""
    with watch(model, window=5) as health:
        for step in range(steps):
            if step == 7 and change is not None:
                change()
            loss(model).backward()
    return health


def test_causes_choose_the_cure():
    model = network()
    kill(model[0], slice(2))  # born dead
    health = watched(model, lambda: kill(model[0], slice(4, 7)))
    causes = health.deaths_table().set_index("unit")["cause"]
    assert causes.to_dict() == dict.fromkeys((0, 1), "born dead") | dict.fromkeys((4, 5, 6), "bias")
    treatment = treat(model, DATA, health=health)
    assert "1: 2 units born dead or starved; signs" in treatment.done[0]
    assert "1: 3 killed units (3 by bias) reinitialized" in treatment.done[1]
    assert not treatment.after.layers[0].dead.any()


def test_units_that_fire_seldom_are_left_alone():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.copy_(torch.tensor([-2.7, 0.0, 0.0]))
    with watch(model, window=2) as health:
        for _ in range(60):
            model(torch.randn(64, 4)).sum().backward()
            if len(health._history) > 5 and 0 in health.deaths_table()["unit"].tolist():
                break
    assert health.deaths_table()["cause"].tolist() == ["rare"]
    data = DATA[(model[0](DATA)[:, 0] <= 0)]
    treatment = treat(model, data, health=health)
    assert treatment.done == ["1: 1 rarely firing unit left alone (not pushed below zero)"]
    assert treatment.after.layers[0].dead[0]


def test_advice_names_the_learning_rate():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with watch(model, window=5) as health:
        for step in range(15):
            if step == 7:
                kill(model[2], slice(9))
            train(model, optimizer, 1)
    treatment = treat(model, DATA, health=health, optimizer=optimizer)
    assert any("a learning rate below 0.01" in line for line in treatment.advice)
    assert "watch the training" in treat(network(), DATA).advice[0]


def test_a_healthy_model_is_left_alone():
    model = network()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    treatment = treat(model, DATA)
    assert treatment.done == []
    assert "nothing to treat" in str(treatment)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_batch_norm_is_made_new_where_signs_do_not_help():
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        model[1].bias[:2] = -50.0
    model(DATA)
    treatment = treat(model, DATA)
    assert int(treatment.before.layers[0].dead.sum()) == 2
    assert not treatment.after.layers[0].dead.any()


def test_killed_units_learn_again_in_training():
    model = network(width=24)
    kill(model[0], slice(20)), kill(model[2], slice(20))
    losses = []
    for treated in (False, True):
        other = network(width=24)
        other.load_state_dict(model.state_dict())
        if treated:
            treat(other, DATA, generator=torch.Generator().manual_seed(0))
        train(other, torch.optim.Adam(other.parameters(), 0.01), 300)
        losses.append(loss(other).item())
    assert losses[1] < 0.7 * losses[0]


def test_a_reviver_while_training():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.0)  # nothing moves
    kill(model[0], slice(5))
    reviver = Reviver(model, optimizer, generator=torch.Generator().manual_seed(0))
    with watch(model, window=5, on_window=reviver):
        train(model, optimizer, 10)
        assert reviver.revivals[0].revived == {"1": [0, 1, 2, 3, 4]}
        kill(model[0], slice(5))  # again: they rest for one window
        train(model, optimizer, 5)
        assert len(reviver.revivals) == 1
        train(model, optimizer, 5)
    assert len(reviver.revivals) == 2
    assert not examine(model, DATA).layers[0].dead.any()


def test_bad_input():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        treat([], DATA)
    with pytest.raises(ValueError, match="none of the known activations"):
        treat(nn.Linear(4, 1), DATA)
    with pytest.raises(ValueError, match="no examples"):
        treat(network(), DATA[:0])


def squash(x):
    return torch.relu(x)


def test_an_activation_out_of_reach_stays():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 12), nn.Linear(12, 1)

        def forward(self, x):
            return self.second(squash(self.first(x)))

    model = Hidden()
    kill(model.first, slice(5))
    treatment = treat(model, DATA)
    assert any("relu kept: can't replace" in line for line in treatment.done), treatment.done
    assert not treatment.after.layers[0].dead.any()


class Several(nn.Module):
    """Calls several functions in one module, some of them twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        sizes = [4, 6, 12, 9, 7]
        self.linears = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        self.last = nn.Linear(7, 1)
        for linear in self.linears:
            nn.init.constant_(linear.bias, 0.5)  # every unit fires for some example

    def forward(self, x):
        a, b, c, d = self.linears
        x = F.leaky_relu(b(torch.relu(a(x))), 0.0)
        return self.last(torch.relu(d(c(x).clamp(min=0))))


@pytest.mark.parametrize("killed", [[0], [1], [2], [3], [0, 3], [0, 1, 2, 3], [1, 3]])
@pytest.mark.parametrize("is_watched", [False, True])
def test_each_call_of_a_module_is_treated_for_itself(killed, is_watched):
    model = Several()

    def kill_some():
        for number in killed:
            kill(model.linears[number], slice(2 + number))

    health = None
    if is_watched:
        health = watched(model, kill_some)
    else:
        kill_some()
    was = model(DATA)
    treatment = treat(model, DATA, health=health)
    assert torch.equal(was, model(DATA))
    assert treatment.before.layers[0].layer == "(model)"
    dead = [int(layer.dead.sum()) for layer in treatment.before.layers]
    for number in killed:
        assert dead[number] >= 2 + number
    assert not any(layer.dead.any() for layer in treatment.after.layers)
    functions = [layer.function for layer in treatment.after.layers]
    expected = ["relu", "leaky_relu", "clamp", "relu"]
    was_dead = [number for number in range(4) if dead[number]]
    assert functions == ["prelu" if n in was_dead else expected[n] for n in range(4)]
    told = [f"(model) ({expected[n]})" if n < 3 else "(model) #2" for n in was_dead]
    lines = [line for line in treatment.done if "reinitialized" in line]
    assert [line.split(":")[0] for line in lines] == told
    replaced = [line.split(":")[0] for line in treatment.done if "replaced by" in line]
    assert replaced == told
    if is_watched:
        assert all(" by bias" in line for line in lines)


def _broken_revive(change):
    import leakyrelu.treatment._treat as module

    real = module.revive

    def revive(model, found, **options):
        result = real(model, found, **options)
        with torch.no_grad():
            change(model, result.revived)
        return result

    return revive


def test_what_changes_outputs_is_undone_where_it_does(monkeypatch):
    """A promise is checked: here one of two layers breaks it."""

    def change(model, revived):
        if "3" in revived:
            model[4].weight[:, revived["3"]] = 1.0  # their outgoing weights

    monkeypatch.setattr("leakyrelu.treatment._treat.revive", _broken_revive(change))
    model = network()
    kill(model[0], slice(5)), kill(model[2], slice(3))
    optimizer = torch.optim.Adam(model.parameters())
    loss(model).backward()
    optimizer.step()
    kill(model[0], slice(5)), kill(model[2], slice(3))
    before = model(DATA)
    moments = optimizer.state[model[2].weight]["exp_avg_sq"].clone()
    treatment = treat(model, DATA, optimizer=optimizer)
    assert torch.equal(model(DATA), before)
    assert "1: 5 killed units reinitialized; outputs unchanged" in treatment.done
    (undone,) = (line for line in treatment.done if "undone" in line)
    assert undone.startswith("3: 3 killed units reinitialized")
    assert "undone, as outputs changed by" in undone
    assert treatment.outputs == "largest change 0 on 400 examples"
    assert treatment.after.layers[1].dead.sum() == 3
    assert torch.equal(optimizer.state[model[2].weight]["exp_avg_sq"], moments)


def test_a_leak_that_changes_outputs_is_undone(monkeypatch):
    def replace(model, *_, **options):
        model[1] = nn.LeakyReLU(0.3)

    monkeypatch.setattr("leakyrelu.treatment._treat.replace", replace)
    model = network()
    kill(model[0], slice(5))
    before = model(DATA)
    treatment = treat(model, DATA)
    assert torch.equal(model(DATA), before)
    assert isinstance(model[1], nn.ReLU)
    assert "undone, as outputs changed by" in treatment.done[-1]


@pytest.mark.parametrize("leak", ["prelu:0", "leaky_relu:0.2", "relu"])
def test_a_leak_that_starts_as_relu_keeps_outputs(leak):
    model = network()
    kill(model[0], slice(5))
    before = model(DATA)
    treatment = treat(model, DATA, leak=leak)
    assert torch.equal(model(DATA), before)
    assert treatment.to_json()["outputs"] == "largest change 0 on 400 examples"
    assert (leak == "prelu:0") == isinstance(model[1], nn.PReLU)


def test_a_leak_at_once_changes_outputs_and_it_is_told():
    model = network()
    kill(model[0], slice(5))
    before = model(DATA)
    treatment = treat(model, DATA, leak="leaky_relu:0.2", warm_up=0)
    assert isinstance(model[1], nn.LeakyReLU)
    change = float((model(DATA) - before).abs().max().detach())
    assert treatment.outputs == f"largest change {change:.2g} on 400 examples"


def test_flipped_signs_are_told_apart():
    model = network()
    kill(model[0])
    before = model(DATA)
    treatment = treat(model, DATA)
    change = float((model(DATA) - before).abs().max().detach())
    flips = f"; before, the flipped signs changed them by up to {change:.2g}"
    assert treatment.outputs == "largest change 0 on 400 examples" + flips


class Noisy(nn.Module):
    """Draws random numbers in evaluation, too."""

    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, x):
        return self.layers(x) + torch.randn(len(x), 1)


def test_noise_is_no_change():
    model = Noisy()
    kill(model.layers[0], slice(5))
    loader = torch.utils.data.DataLoader(DATA, batch_size=64, shuffle=True)
    assert treat(model, loader).outputs == "largest change 0 on 400 examples"


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_rounding_is_no_change(dtype):
    """Behind a BatchNorm, a constant moves to the next bias: equal up to rounding."""
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 2))
    kill(model[0], slice(3))
    model(DATA)  # in training mode
    model = model.eval().to(dtype)
    treatment = treat(model, DATA.to(dtype))
    assert "reinitialized; outputs" in treatment.done[0]
    assert not any("undone" in line for line in treatment.done)


@pytest.mark.parametrize("wrap", [torch.compile, lambda model: model])
def test_causes_are_known_of_a_compiled_model(wrap):
    model = network()
    kill(model[0], slice(2))
    health = watched(model, lambda: kill(model[0], slice(4, 7)))
    wrapped = wrap(model)
    treatment = treat(wrapped, DATA, health=health)
    assert treatment.model is wrapped
    assert treatment.before.layers[0].layer == "1"
    assert "1: 2 units born dead or starved; signs" in treatment.done[0]
    assert "1: 3 killed units (3 by bias) reinitialized" in treatment.done[1]
    assert isinstance(model[1], WarmUpLeakyReLU)


def test_an_expert_without_tokens_is_left_alone():
    class Experts(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(4, 5) for _ in range(2))
            self.last = nn.Linear(5, 1)

        def forward(self, x):
            parts = [(x, self.experts[0]), (x[:0], self.experts[1])]
            return self.last(torch.cat([F.relu(expert(part)) for part, expert in parts]))

    model = Experts()
    before = [parameter.clone() for parameter in model.experts[1].parameters()]
    treatment = treat(model, DATA)
    assert "no example reached (model) #2" in treatment.summary
    assert all(
        torch.equal(a, b) for a, b in zip(before, model.experts[1].parameters(), strict=True)
    )


def test_units_that_stay_dead_are_told(monkeypatch):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    model[1].bias.data[:2] = -50.0
    model(DATA)
    revive = _treat.revive

    def revive_one(*args, **options):
        revival = revive(*args, **options)
        model[1].bias.data[1] = -50.0
        return revival

    monkeypatch.setattr(_treat, "revive", revive_one)
    treatment = treat(model, DATA)
    assert treatment.after.layers[0].dead.tolist() == [False, True] + [False] * 4
    line = "2: 2 killed units reinitialized; outputs unchanged; 1 of them dead as before"
    assert line in treatment.done
