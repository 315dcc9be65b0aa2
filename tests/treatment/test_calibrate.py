"""Units behind a BatchNorm fire after they are revived: its statistics are those of the data."""

import copy

import pytest
import torch
from torch import nn

from leakyrelu import examine, revive
from leakyrelu.treatment import treat


class Branches(nn.Module):
    def __init__(self, norm_after):
        super().__init__()
        self.first, self.bn1 = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.after = nn.BatchNorm2d(8) if norm_after else nn.Identity()
        self.second, self.bn2 = nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6)
        self.last = nn.Linear(6, 2)

    def forward(self, x):
        x = self.after(torch.relu(self.bn1(self.first(x))))
        return self.last(torch.relu(self.bn2(self.second(x))).mean((2, 3)))


def killed(norm_after=False, dtype=torch.float32):
    torch.manual_seed(0)
    model = Branches(norm_after)
    data = 50 + torch.rand(40, 3, 7, 7)  # all positive: most new weights give no sign change
    for _ in range(60):
        model(data)
    with torch.no_grad():
        model.bn1.bias[:4] = -1000
        model.bn2.bias[1:4] = -1000
        model.after.eval()
        model.bn2.train()
        for _ in range(60):
            model(data)
    return model.eval().to(dtype), data.to(dtype)


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_revived_units_fire_on_the_data(batches, dtype):
    model, data = killed(dtype=dtype)
    given = list(data.chunk(batches))
    before, found = model(data), examine(model, given)
    assert found.layers[0].dead.nonzero().squeeze(1).tolist() == [0, 1, 2, 3]
    statistics = copy.deepcopy(model.state_dict())
    done = revive(model, found, data=given)
    assert done.revived == {"(model)": [0, 1, 2, 3], "(model) #2": [1, 2, 3]}
    assert torch.equal(model(data), before)
    assert not any(layer.dead.any() for layer in examine(model, given).layers)
    x = model.first(data)
    torch.testing.assert_close(model.bn1.running_mean[:4], x.mean((0, 2, 3))[:4])
    torch.testing.assert_close(model.bn1.running_var[:4], x.var((0, 2, 3))[:4], rtol=1e-2, atol=0)
    assert torch.equal(model.bn1.running_mean[4:], statistics["bn1.running_mean"][4:])
    assert torch.equal(model.bn1.running_var[4:], statistics["bn1.running_var"][4:])
    assert model.bn1.num_batches_tracked == statistics["bn1.num_batches_tracked"]


def test_without_data_statistics_are_new():
    model, data = killed()
    revive(model, examine(model, data))
    assert not model.bn1.running_mean[:4].any()
    assert (model.bn1.running_var[:4] == 1).all()


def test_a_norm_after_the_units_is_calibrated_with_what_they_give_now():
    model, data = killed(norm_after=True)
    before, found = model(data), examine(model, data)
    revive(model, found, data=data)
    torch.testing.assert_close(model(data), before)
    x = torch.relu(model.bn1(model.first(data)))
    torch.testing.assert_close(model.after.running_mean[:4], x.mean((0, 2, 3))[:4])


def test_treat_gives_it_the_data():
    model, data = killed()
    before = model(data)
    treatment = treat(model, data)
    assert torch.equal(model(data), before)
    assert treatment.before.layers[0].dead.sum() == 4
    assert not any(layer.dead.any() for layer in treatment.after.layers)
    assert treatment.outputs == "largest change 0 on 40 examples"
    rates = treatment.after.layers[0].counts.positive_rate[:4]
    assert ((rates > 0.2) & (rates < 0.8)).all()  # as normalized inputs do
