"""The thresholds of other tools flag what they should."""

import pytest
import torch
from torch import nn

from leakyrelu import examine, watch
from leakyrelu.health import RULES, Rule, check

POSITIONS = 400


@pytest.fixture
def found():
    """Units that fire for 0, 0.5, 1, 4, 50, 96 and 100% of the examples, all as strongly."""
    shares = torch.tensor([0.0, 0.005, 0.01, 0.04, 0.5, 0.96, 1.0])
    order = torch.arange(POSITIONS).unsqueeze(1)
    data = torch.where(order < shares * POSITIONS, 1.0, -1.0)
    model = nn.Sequential(nn.Linear(7, 7), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(7))
        model[0].bias.zero_()
    return examine(model, data)


@pytest.mark.parametrize(
    ("rule", "flagged"),
    [
        ("keras-contrib", [0]),
        ("sagemaker", [0, 1, 2]),
        ("loss-of-plasticity", [0, 1, 2]),
        ("kaldi", [0, 1, 2, 3, 5, 6]),
        ("redo", [0, 1, 2]),
        ("redo-strict", [0, 1]),
        ("fastai", [0, 1, 2, 3]),
        ("autotrainer", [0]),
    ],
)
def test_units(found, rule, flagged):
    assert RULES[rule].flags(found.layers[0]).nonzero().squeeze(1).tolist() == flagged
    assert check(found, rule)["flagged units"].tolist() == [len(flagged)]


def test_layers(found):
    assert not check(found, "sagemaker")["flagged"].item()  # 3 of 7 is not over half
    assert check(found, Rule("firing rate", below=0.01, share=0.4))["flagged"].item()
    assert check(found, "keras-contrib")["flagged"].item()  # 1 of 7 is over a tenth


@pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")
def test_a_watch_is_held_against_them_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    with torch.no_grad():
        model[0].bias[:3] = -100.0
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, window=2) as health:
        for _ in range(2):
            model(torch.randn(20, 3)).mean().backward()
            optimizer.step()
    for rule in ("sagemaker", "autotrainer"):
        table = check(health, rule)
        assert table["flagged units"].tolist() == [3]
        assert table["flagged"].tolist() == [True]


def test_bad_input(found):
    with pytest.raises(ValueError, match="rule must be one of keras-contrib, sagemaker"):
        check(found, "debugger")
    with pytest.raises(ValueError, match="measure must be one of firing rate"):
        check(found, Rule("rate"))
