"""Why units died: slowly or at once, in modules of every kind, and told in time."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from leakyrelu import watch
from leakyrelu.treatment import treat

pytestmark = pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


class BatchNormAct(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        x = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training
        )
        return self.act(self.drop(x))


class GroupNormAct(nn.GroupNorm):
    def __init__(self, channels, act):
        super().__init__(2, channels)
        self.act = act

    def forward(self, x):
        return self.act(F.group_norm(x, self.num_groups, self.weight, self.bias))


class LayerNormAct(nn.LayerNorm):
    def forward(self, x):
        return torch.relu(super().forward(x))


class Channels(nn.Module):
    """A norm that is one part of a module with others."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x)


def batches(ndim):
    return torch.randn(30, 3, 6, 6) if ndim == 4 else torch.randn(60, 3)


@pytest.mark.parametrize("cause", ["bias", "weights"])
@pytest.mark.parametrize(
    ("make", "ndim"),
    [
        (lambda: BatchNormAct(6, nn.ReLU()), 4),
        (lambda: Channels(BatchNormAct(6, nn.ReLU6())), 4),
        (lambda: GroupNormAct(6, nn.ReLU()), 4),
        (lambda: LayerNormAct(6), 2),
        (lambda: nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()), 4),
        (lambda: nn.Sequential(nn.LayerNorm(6), nn.ReLU()), 2),
    ],
)
def test_the_own_shift_of_a_norm_is_its_bias(make, ndim, cause):
    first = nn.Conv2d(3, 6, 3) if ndim == 4 else nn.Linear(3, 6)
    last = nn.Conv2d(6, 2, 1) if ndim == 4 else nn.Linear(6, 2)
    model = nn.Sequential(first, make(), last)
    norm = next(m for m in model.modules() if isinstance(getattr(m, "eps", None), float))
    if cause == "weights":  # a scale kills where a shift is negative
        norm.bias.data[:2] = -0.2
    with watch(model, window=5) as health:
        for step in range(21):
            if step == 7 and cause == "bias":
                norm.bias.data[:2] -= 30
            if step == 7 and cause == "weights":
                norm.weight.data[:2] = 1e-3
            model(batches(ndim)).square().mean().backward()
    assert {deaths.cause for deaths in health.deaths} == {cause}
    assert sorted(unit for deaths in health.deaths for unit in deaths.units) == [0, 1]


SLOWLY = {
    "bias": lambda model: model[2].bias[:3].sub_(0.02),
    "weights": lambda model: model[2].weight[:3].sub_(0.02),
    "inputs": lambda model: model[0].bias.add_(0.02),
}


def network():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))
    with torch.no_grad():
        model[0].bias.fill_(1.0)
        model[2].weight.uniform_(-0.2, 0.5)
        model[2].weight[:3] = -0.3
        model[2].bias.fill_(1.0)
        model[2].bias[:3] = 3.0
    return model


@pytest.mark.parametrize("cause", SLOWLY)
@pytest.mark.parametrize("window", [2, 5])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_slow_death_has_its_cause(cause, window, is_resumed):
    model, data = network(), torch.randn(2000, 4)
    health = watch(model, window=window).start()
    for step in range(700):
        with torch.no_grad():
            if step < 400:
                SLOWLY[cause](model)
        model(data[torch.randint(2000, (64,))]).mean().backward()
        if is_resumed and step % 40 == 39:
            state = copy.deepcopy(health.state_dict())
            health.stop()
            health = watch(model, window=window)
            health.load_state_dict(state)
            health.start()
    health.stop()
    dead = health.deaths_table().query("layer == '3'")
    assert set(dead["unit"]) >= {0, 1, 2}
    assert set(dead.set_index("unit").loc[[0, 1, 2], "cause"]) == {cause}
    before = [p.clone() for p in model.parameters()]
    treatment = treat(model, data, health=health)
    assert any(line.startswith("3: 3 killed units (3 by") for line in treatment.done)
    assert not torch.equal(model[2].weight[:3], before[2][:3])


def test_a_unit_that_is_silent_for_long_does_not_fire_rarely():
    # Just below the least push that is taken as a cause at once.
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(0.5)
        model[0].bias.copy_(torch.tensor([-3.4, 0.0, 0.0]))

    causes = []
    with watch(model, window=2) as health:
        for step in range(60):
            x = torch.randn(3000, 4).clamp(-2, 2)
            if step == 0:
                x[0] = 4.0  # it fires once
            if step == 10:
                model[0].bias.data[0] -= 0.3
            model(x).mean().backward()
            if step % 2 and step > 4:
                table = health.deaths_table()
                causes += table[table["unit"] == 0]["cause"].tolist()
    assert list(dict.fromkeys(causes)) == ["rare", "bias"]
