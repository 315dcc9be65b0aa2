"""Modules that are called for some inputs only: each call keeps its owner."""

import copy
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from leakyrelu import examine, watch
from leakyrelu.treatment import treat

pytestmark = pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")
DEAD = {0: [0], 1: [1, 2], 2: []}


class Experts(nn.Module):
    """Experts that share an activation; an example goes to one of them by its first feature."""

    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.experts = nn.ModuleList(nn.Linear(4, 5) for _ in range(3))
        self.act, self.last = act, nn.Linear(5, 1)
        for number, units in DEAD.items():
            self.experts[number].bias.data.fill_(2.0)
            self.experts[number].bias.data[units] = -100

    def forward(self, x):
        out = x.new_zeros(len(x), 5)
        for number, expert in enumerate(self.experts):
            mine = x[:, 0] == number
            if mine.any():
                out[mine] = self.act(expert(x[mine]))
        return self.last(out)


def batch(*numbers):
    x = torch.randn(20 * len(numbers), 4)
    x[:, 0] = torch.tensor(numbers).repeat_interleave(20)
    return x


def expected(given, data):
    """Return the dead units and the number of examples of each expert that got any."""
    x = torch.cat(data)
    found = {}
    for number in sorted(set(x[:, 0].int().tolist())):
        mine = x[x[:, 0] == number]
        dead = ~(given.experts[number](mine) > 0).any(0)
        found[f"experts.{number}"] = (dead.nonzero().squeeze(1).tolist(), len(mine))
    return found


def of(layers):
    return {
        layer.feeding: (layer.dead.nonzero().squeeze(1).tolist(), layer.examples)
        for layer in layers
    }


ORDERS = [
    [(0, 1, 2)],
    *[[(i,), (j,), (k,)] for i, j, k in itertools.permutations(range(3))],
    [(2,), (0, 1), (1, 2), (0,)],
    [(1, 2), (2,)],
    [(1,)],
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("act", [nn.ReLU(), torch.relu])
def test_experts_that_share_an_activation_are_told_apart(order, act):
    model, data = Experts(act), [batch(*numbers) for numbers in order]
    found = examine(model, data)
    assert of(found.layers) == expected(model, data)
    absent = [f"experts.{n}" for n in range(3) if not any(n in numbers for numbers in order)]
    assert found.never_reached == absent == found.to_json()["never reached"]
    assert all(name in found.summary for name in absent)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("act", [nn.ReLU(), torch.relu])
def test_they_are_while_they_train(order, act):
    model, data = Experts(act), [batch(*numbers) for numbers in order]
    with watch(model, window=2 * len(data)) as health:
        for x in [batch(0, 1, 2), *data, *data[::-1], *data][: 2 * len(data)]:
            model(x).sum().backward()
    for feeding, (dead, _) in of(health.layers).items():
        assert dead == DEAD[int(feeding[-1])]
    assert len(health.layers) == 3


class Fused(nn.Module):
    """Experts whose weights are parts of one parameter, as in Mixtral."""

    def __init__(self, act, product):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = nn.Parameter(torch.randn(3, 5, 4)), nn.Linear(5, 1)
        self.inner.data[..., 0] = 0.0
        self.act, self.product = act, product
        for number, units in DEAD.items():
            self.inner.data[number, units] = 0.0

    def forward(self, x):
        out = x.new_zeros(len(x), 5)
        for number in x[:, 0].int().unique().tolist():
            mine = x[:, 0] == number
            out[mine] = self.act(self.product(x[mine], self.inner[number]))
        return self.outer(out)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("act", [nn.ReLU(), torch.relu])
@pytest.mark.parametrize("product", [nn.functional.linear, lambda x, weight: x @ weight.T])
def test_experts_with_parts_of_one_weight_are_told_apart(order, act, product):
    model, data = Fused(act, product), [batch(*numbers) for numbers in order]
    reached = dict.fromkeys(number for x in data for number in x[:, 0].int().unique().tolist())
    dead = [layer.dead.nonzero().squeeze(1).tolist() for layer in examine(model, data).layers]
    assert dead == [DEAD[number] for number in reached]
    with watch(model, window=2 * len(data)) as health:
        for x in [*data, *data[::-1]]:
            model(x).sum().backward()
    first = dict.fromkeys(number for number in data[0][:, 0].int().unique().tolist())
    seen = [layer.dead.nonzero().squeeze(1).tolist() for layer in health.layers]
    assert seen[: len(first)] == [DEAD[number] for number in first]
    assert len(seen) <= len(reached)


def test_a_checkpoint_keeps_the_owners():
    model = Experts(nn.ReLU())

    def run(health, order):
        with health:
            for numbers in order:
                model(batch(*numbers)).sum().backward()
        return health

    first = run(watch(model, window=2), [(2, 0), (2, 0)])
    second = watch(model, window=2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(second, [(0, 1), (1, 2)])
    names = {layer.layer: layer.feeding for layer in second.layers}
    assert names == {"act": "experts.0", "act #2": "experts.2", "act #3": "experts.1"}
    assert {f: dead for f, (dead, _) in of(second.layers).items()} == {
        f"experts.{number}": units for number, units in DEAD.items()
    }


def test_treatment_cures_each_expert():
    model, data = Experts(nn.ReLU()).eval(), [batch(1), batch(0, 2), batch(2, 1)]
    before = model(torch.cat(data))
    treatment = treat(model, data)
    assert torch.equal(model(torch.cat(data)), before)
    assert "undone" not in treatment.summary


def test_the_first_units_to_be_seen_need_not_be_the_first_in_the_source():
    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(4, 5), nn.Linear(4, 5)
            self.second.bias.data.fill_(1.0)
            self.second.bias.data[2] = -100

        def forward(self, x):
            if x[0, 0] > 0:
                return torch.relu(self.first(x))
            return torch.relu(self.second(x))

    model, x = Either(), torch.randn(50, 4).abs()
    data = [-x, x]
    found = examine(model, data)
    assert found.layers[0].feeding == "second"
    assert found.layers[0].dead.nonzero().squeeze(1).tolist() == [2]
    treated = treat(model, data, inplace=False, warm_up=1).model
    with torch.no_grad():
        treated.train()
        for _ in range(3):  # the leak has grown
            treated(-x)
        assert (treated.eval()(-x)[:, 2] < 0).all()


RANKS = """
import sys, torch, torch.distributed as distributed
sys.path.insert(0, sys.argv[1])
import test_conditional as t
rank = int(sys.argv[3])
distributed.init_process_group("gloo", f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.set_num_threads(1)
model = t.Experts(torch.nn.ReLU())
model.experts[1].bias.data[:] = 2.0
model.experts[1].bias.data[3] = -100.0
parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
with t.watch(parallel, window=2) as health:
    for numbers in ([(2, 1)] if rank else [(1, 0)]) * 2:  # other experts on each rank
        parallel(t.batch(*numbers)).sum().backward()
print(sorted(t.of(health.layers).items()))
distributed.destroy_process_group()
"""


def test_ranks_that_reach_other_experts_agree(tmp_path):
    here = str(Path(__file__).parent)
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANKS, here, str(tmp_path / "group"), str(rank)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = (rank.communicate(timeout=240)[0] for rank in ranks)
    assert first == "[('experts.0', ([0], 40)), ('experts.1', ([3], 80))]\n"
    assert second == "[('experts.1', ([3], 80)), ('experts.2', ([], 40))]\n"
