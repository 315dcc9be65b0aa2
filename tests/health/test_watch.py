"""Units that die while a model trains: which, when, and of what."""

import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.utils.checkpoint import checkpoint

import leakyrelu
from leakyrelu import InputError
from leakyrelu.health import HealthWarning, watch


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


def network(activation=nn.ReLU):
    return nn.Sequential(
        nn.Linear(4, 16), activation(), nn.Linear(16, 16), activation(), nn.Linear(16, 1)
    )


def alive(linear):
    """Make every unit fire for some example."""
    with torch.no_grad():
        linear.bias.fill_(0.5)


def train(model, steps, change=None, data=None):
    """Run so many training forwards; `change` is called with the number of each."""
    x = torch.randn(64, 4) if data is None else data
    for step in range(steps):
        if change is not None:
            change(step)
        model(x).square().mean().backward()


def test_death_and_revival_have_their_steps():
    model = network()
    alive(model[0]), alive(model[2])

    def change(step):
        with torch.no_grad():
            if step == 25:
                model[0].bias[3] = -100.0
            if step == 57:
                model[0].bias[3] = 0.5

    with watch(model, window=10) as health:
        train(model, 91, change)
    (deaths,) = health.deaths
    assert (deaths.layer, deaths.units, deaths.of) == ("1", [3], 16)
    assert (deaths.first, deaths.last) == (20, 30)
    history = health.history().query("layer == '1'").set_index("step")
    assert history["dead"].to_dict() == {step: int(40 <= step <= 50) for step in range(10, 100, 10)}
    assert history.loc[40, "died"] == 1
    assert history.loc[60, "revived"] == 1
    report = health.table().set_index("layer")
    assert report.loc["1", ["dead %", "died", "revived", "born dead"]].tolist() == [0, 1, 1, 0]


CAUSES = {
    "bias": lambda model: model[2].bias[:5].fill_(-50.0),
    "weights": lambda model: model[2].weight[:5].copy_(-model[2].weight[:5].abs() * 20),
    "inputs": lambda model: model[0].bias.add_(30.0),
    "starved": lambda model: model[0].bias.fill_(-50.0),
}


@pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")
@pytest.mark.parametrize("cause", CAUSES)
def test_a_known_cause_is_found(cause):
    model = network()
    alive(model[0]), alive(model[2])
    with torch.no_grad():
        model[2].weight.abs_()
        if cause == "inputs":
            model[2].weight[:5].neg_()
            model[2].bias[:5] = 5.0
        if cause == "starved":
            model[2].bias.fill_(-0.01)

    def change(step):
        if step == 12:
            with torch.no_grad():
                CAUSES[cause](model)

    with watch(model, window=5) as health:
        train(model, 26, change)
    found = {(d.layer, d.cause): d.units for d in health.deaths}
    expected = list(range(16)) if cause == "starved" else [0, 1, 2, 3, 4]
    assert found["3", cause] == expected
    if cause == "starved":
        assert found["1", "bias"] == list(range(16))


def test_units_born_dead():
    model = network()
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    with watch(model, window=10) as health:
        train(model, 10)
    (born,) = [deaths for deaths in health.deaths if deaths.layer == "1"]
    assert (born.units[:2], born.cause) == ([0, 1], "born dead")
    assert "born dead" in str(born)
    table = health.deaths_table().query("layer == '1'")
    assert not table["recoverable"].any()  # there is no layer below
    assert "born dead" in health.summary


def test_leaky_units_are_stuck_not_dead():
    model = network(nn.LeakyReLU)
    alive(model[0]), alive(model[2])
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    with watch(model, window=10) as health:
        train(model, 10)
    row = health.table().set_index("layer").loc["1"]
    assert (row["dead %"], row["stuck negative %"]) == (0, 12.5)
    assert health.deaths == []
    assert "2 are stuck negative but still learn" in health.summary


class Twice(nn.Module):
    def __init__(self, rectify):
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)
        self.rectify = rectify

    def forward(self, x):
        return self.rectify(self.second(self.rectify(self.first(x))))


@pytest.mark.parametrize(
    "rectify",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        F.relu,
        torch.relu,
        torch.relu_,
        lambda x: x.relu(),
        lambda x: x.clamp(min=0),
        lambda x: x.clamp_(0),
        lambda x: torch.clamp_min(x, 0),
        lambda x: leakyrelu.relu(x),
        lambda x: leakyrelu.nn.functional.prelu(x, torch.zeros(1)),
    ],
)
def test_every_way_of_calling_has_its_sites(rectify):
    model = Twice(rectify)
    with torch.no_grad():
        model.first.bias[0] = model.second.bias[0] = -100.0
    with watch(model, window=5) as health:
        train(model, 5)
    report = health.table()
    assert report["units"].tolist() == [6, 5]
    assert [(d.layer.endswith("#2"), 0 in d.units) for d in health.deaths] == [
        (False, True),
        (True, True),
    ]
    assert (report["gradient"] > 0).all()


def test_rrelu_that_takes_a_pass_is_seen(monkeypatch):
    monkeypatch.setitem(leakyrelu.nn._passes._SMALLEST, "cpu", 1)
    model = network(leakyrelu.nn.RReLU)
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    with watch(model, window=5) as health:
        train(model, 5)
    assert health.table()["function"].tolist() == ["rrelu", "rrelu"]
    assert health.table()["stuck negative %"][0] >= 12.5


def test_other_clamps_are_no_activations():
    def rectify(x):
        lengths, rate = torch.tensor([2, 3]).clamp(min=0), x.mean().clamp(0, 1)
        return x.clamp(-1, 1).relu() + 0 * (rate + lengths.sum())

    model = Twice(rectify)
    with watch(model, window=5) as health:
        train(model, 5)
    assert health.table()["function"].tolist() == ["relu", "relu"]


@pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")
def test_gradients_and_numbers_do_not_change():
    def run(watched):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Linear(4 * 36, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 1),
        )  # fmt: skip
        health = watch(model, window=3)
        if watched:
            health.start()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(10):
            optimizer.zero_grad()
            model(torch.randn(16, 1, 8, 8)).square().mean().backward()
            optimizer.step()
        health.stop()
        return [*model.state_dict().values()]

    assert all(map(torch.equal, run(False), run(True)))


def test_evaluation_is_not_mixed_with_training():
    model = network()
    alive(model[0])
    with watch(model, window=10) as health:
        train(model, 10)
        model.eval()
        model(torch.full((8, 4), -1e6))
        model.train()
        with torch.no_grad():
            model(torch.full((8, 4), -1e6))
        assert health.step == 10
        train(model, 1)
    assert health.table()["NaN %"].sum() == 0
    assert health.history()["examples"].tolist() == [640, 640]


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_recomputed_forward_counts_once(reentrant):
    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
            self.head = nn.Linear(6, 1)
            with torch.no_grad():
                self.inside[0].bias[0] = -100.0

        def forward(self, x):
            return self.head(checkpoint(self.inside, x, use_reentrant=reentrant))

    model = Checkpointed()
    x = torch.randn(64, 4, requires_grad=True)
    with watch(model, window=5) as health:
        train(model, 5, data=x)
    assert health.step == 5
    assert health.history()["examples"].tolist() == [5 * 64]
    whole = nn.Sequential(nn.Linear(4, 6), nn.ReLU())
    with watch(whole, window=5) as health:
        for _ in range(5):
            checkpoint(whole, x, use_reentrant=False).sum().backward()
    assert health.step == 5


def test_transformer_units_are_features():
    model = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 32, batch_first=True), 2, enable_nested_tensor=False
    )
    with torch.no_grad():
        model.layers[1].linear1.bias[:3] = -1000.0
    with watch(model, window=3) as health:
        for _ in range(3):
            model(torch.randn(4, 10, 8)).square().mean().backward()
    assert health.table()["units"].tolist() == [32, 32]
    assert {(d.layer, tuple(d.units)) for d in health.deaths} == {("layers.1", (0, 1, 2))}


def test_under_autocast():
    model = network()
    with torch.no_grad():
        model[0].bias[0] = -100.0
    with watch(model, window=5) as health, torch.autocast("cpu", torch.bfloat16):
        train(model, 5)
    assert 0 in health.deaths[0].units


def test_batch_norm_shift_is_the_bias():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())

    def change(step):
        if step == 12:
            with torch.no_grad():
                model[1].bias[2] = -20.0

    with watch(model, window=5) as health:
        train(model, 21, change, torch.randn(8, 1, 6, 6))
    assert [(d.layer, d.units, d.cause) for d in health.deaths] == [("2", [2], "bias")]
    assert not health.deaths_table()["recoverable"].any()


def test_nan_is_not_death():
    model = network()
    alive(model[0])

    def change(step):
        if step == 6:
            with torch.no_grad():
                model[0].bias[4] = torch.nan

    with watch(model, window=5) as health:
        train(model, 15, change)
    assert all(4 not in deaths.units for deaths in health.deaths if deaths.layer == "1")
    assert health.table().set_index("layer").loc["1", "dead %"] == 0


def test_a_warning_once_with_the_learning_rate():
    model = network()
    alive(model[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.125)
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with watch(model, window=5, on_death=found.append):
            for step in range(30):
                optimizer.zero_grad()
                model(torch.randn(64, 4)).square().mean().backward()
                optimizer.step()
                if step == 7:
                    with torch.no_grad():
                        model[0].bias[:12] = -60.0
    messages = [str(w.message) for w in caught if w.category is HealthWarning]
    (message,) = [m for m in messages if "units of 1 are dead" in m]
    assert "12 of 16 units died between step 5 and 10, pushed below zero by the bias" in message
    assert "learning rate 0.125 is the likely cause" in message
    (deaths,) = [d for d in found if d.layer == "1" and len(d.units) >= 12]
    assert deaths.learning_rate == 0.125
    assert deaths.gradient_norm > 0


def test_a_checkpoint_goes_on():
    def change_at(first):
        def change(step):
            if first + step == 12:
                with torch.no_grad():
                    model[0].bias[3] = -100.0

        return change

    model = network()
    alive(model[0]), alive(model[2])
    with watch(model, window=5) as health:
        train(model, 20, change_at(0))
    state = health.state_dict()
    resumed = watch(model, window=5)
    resumed.load_state_dict(state)
    assert resumed.summary == health.summary
    with resumed:
        train(model, 10, change_at(20))
    assert resumed.step == 30
    assert [d.units for d in resumed.deaths if d.layer == "1"] == [[3]]
    assert resumed.history().query("layer == '1'")["dead"].tolist() == [0, 0, 0, 1, 1, 1]


def test_plot():
    model = network()
    with watch(model, window=5) as health:
        train(model, 20)
    (mesh,) = health.plot().axes[0].collections[:1]
    assert mesh.get_array().shape == (2, 4)


def test_memory_does_not_grow_with_the_run():
    model = network()
    with watch(model, window=10**6) as health:
        train(model, 5)
        layer = next(iter(health._tracked.values()))
        sizes = {
            name: value.numel()
            for name, value in vars(layer).items()
            if isinstance(value, torch.Tensor)
        }
        train(model, 50)
        assert sizes == {
            name: value.numel()
            for name, value in vars(layer).items()
            if isinstance(value, torch.Tensor) and name in sizes
        }


@pytest.mark.filterwarnings("error")
def test_bad_input():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, but is list"):
        watch([])
    with pytest.raises(ValueError, match="use DistributedDataParallel"):
        watch(nn.DataParallel(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="at least 1 step"):
        watch(nn.Linear(2, 2), window=0)
    health = watch(network())
    with pytest.raises(RuntimeError, match="no window of 100 steps has ended yet"):
        health.table()
    with health, pytest.raises(RuntimeError, match="started already"):
        health.start()
    health.stop()  # again is no error
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    with watch(model, window=2) as health:
        model(torch.randn(3, 2))
        with pytest.warns(
            HealthWarning, match="ended at step 1: the model calls none of the known"
        ):
            model(torch.randn(3, 2))
        model(torch.randn(3, 2))
    with pytest.raises(InputError, match="nothing was watched: the model calls none"):
        health.table()


def test_an_error_in_the_model_leaves_nothing_behind():
    class Fails(nn.Module):
        def forward(self, x):
            raise KeyError("inside")

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), Fails())
    with watch(model, window=2) as health:
        for _ in range(3):
            with pytest.raises(KeyError, match="inside"):
                model(torch.randn(3, 4))
    assert torch._C._len_torch_function_stack() == 0
    assert not model._forward_hooks
    assert not model[0]._forward_hooks
    assert health.step == 3


DISTRIBUTED = """
import sys, torch
from torch import distributed, nn
from leakyrelu.health import watch

rank = int(sys.argv[1])
distributed.init_process_group("gloo", f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
with torch.no_grad():
    # Unit 0 fires on rank 0 alone, unit 1 on none, unit 2 on both.
    model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
    model[0].bias.copy_(torch.tensor([0.0, -1.0, 1.0]))
parallel = nn.parallel.DistributedDataParallel(model)
x = torch.tensor([[1.0 - 2 * rank, 0.0]]).expand(4 + rank, 2)
with watch(parallel, window=3) as health:
    for _ in range(3):
        parallel(x).mean().backward()
table = health.deaths_table()
assert table["unit"].tolist() == [1], table
assert health.table()["units"].tolist() == [3]
assert health.history()["examples"].tolist() == [27]
distributed.destroy_process_group()
"""


def test_a_unit_is_dead_only_if_it_is_on_every_rank(tmp_path):
    command = [sys.executable, "-c", DISTRIBUTED]
    meeting = str(tmp_path / "meeting")
    processes = [
        subprocess.Popen([*command, str(rank), meeting], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_model(in_place):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = Twice(F.relu)
    with torch.no_grad():
        model.first.bias[0] = -100.0
    if in_place:
        model.compile(backend="eager")
        compiled = model
    else:
        compiled = torch.compile(model, backend="eager")
    frames = torch._dynamo.utils.counters["frames"]
    with watch(compiled, window=30) as health:
        train(compiled, 10)
        assert frames["total"] == 0  # ran without compiled code
        train(compiled, 20)
        assert frames["total"] > 0
    assert health.step == 30
    assert health.table()["layer"].tolist() == ["(model)", "(model) #2"]
    assert 0 in health.deaths[0].units
    assert health.history()["examples"].tolist() == [640, 640]
    train(compiled, 1)
    assert health.step == 30  # it has been stopped


def test_a_model_in_a_compiled_function_is_out_of_reach():
    torch._dynamo.reset()
    model = network()
    step = torch.compile(lambda x: model(x).sum(), backend="eager", fullgraph=True)
    with watch(model, window=2) as health:
        for _ in range(3):
            step(torch.randn(4, 4)).backward()
    with pytest.raises(RuntimeError, match="not called from a compiled function"):
        health.table()


def test_the_size_of_the_update_is_told():
    model = network()
    alive(model[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def change(step):
        if step == 7:
            with torch.no_grad():
                model[0].bias[0] = -100.0

    with watch(model, window=5) as health:
        for step in range(15):
            change(step)
            optimizer.zero_grad()
            model(torch.randn(64, 4)).mean().backward()
            if step == 10:
                weight = model[0].weight.detach()
                expected = (0.01 * model[0].weight.grad.norm() / weight.norm()).item()
                norm = model[0].weight.grad.norm().item()
            optimizer.step()
    layer = health._tracked["1 relu"]
    assert layer.updates["update_size"] == pytest.approx(expected, rel=1e-4)
    assert layer.updates["gradient_norm"] == pytest.approx(norm)
    assert "an update changed the weights by" in str(next(d for d in health.deaths if d.first))


def test_padding_is_masked_out():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.linear = nn.Embedding(5, 3), nn.Linear(3, 4)

        def forward(self, tokens, *, attention_mask):
            return torch.relu(self.linear(self.embed(tokens)))

    model = Tokens()
    with torch.no_grad():
        model.embed.weight.copy_(torch.tensor([[100.0, 0, 0]] + 4 * [[-1.0, 0, 0]]))
        model.linear.weight.copy_(torch.tensor([[1.0, 0, 0]] * 2 + [[-1.0, 0, 0]] * 2))
        model.linear.bias.zero_()
    tokens = torch.tensor([[1, 2, 0], [3, 0, 0]])
    with watch(model, window=3, mask=lambda *_, attention_mask: attention_mask) as health:
        for _ in range(3):
            model(tokens, attention_mask=(tokens != 0).long()).sum().backward()
    assert health.deaths_table()["unit"].tolist() == [0, 1]
    assert health.layers[0].counts.always_on.tolist() == [False, False, True, True]
    with watch(model, window=1, mask=lambda tokens, **_: tokens[:, 1:]) as health:
        model(tokens, attention_mask=None).sum().backward()
        message = r"ended at step 1: the mask .* of shape \(2, 2\), fits no activation"
        with pytest.warns(HealthWarning, match=message):
            model(tokens, attention_mask=None)


class Block(nn.Module):
    """A residual block of the usual kind; its one ReLU is called twice."""

    def __init__(self, width):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in "12")
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x
        return self.relu(out)


def test_a_residual_net():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), Block(8), Block(8), nn.Flatten(), nn.Linear(8 * 36, 2)
    )

    def change(step):
        with torch.no_grad():
            if step == 7:
                model[2].bn1.bias[3] = -50.0

    with watch(model, window=5) as health:
        train(model, 15, change, torch.randn(16, 3, 8, 8))
    assert health.table()["layer"].tolist() == ["1.relu", "1.relu #2", "2.relu", "2.relu #2"]
    assert health.table()["units"].tolist() == [8, 8, 8, 8]
    assert [(d.layer, d.units, d.cause) for d in health.deaths] == [("2.relu", [3], "bias")]
    assert health.deaths_table()["recoverable"].tolist() == [True]


def test_a_checkpoint_is_plain_enough_for_torch_load(tmp_path):
    model = network()
    with torch.no_grad():
        model[0].bias[0] = -100.0
    with watch(model, window=5) as health:
        train(model, 5)
    torch.save(health.state_dict(), tmp_path / "health.pt")
    resumed = watch(model, window=5)
    resumed.load_state_dict(torch.load(tmp_path / "health.pt", weights_only=True))
    assert resumed.deaths == health.deaths
    columns = [name for name in health.table() if name != "gradient"]
    assert resumed.table()[columns].equals(health.table()[columns])


def test_html():
    model = network()
    with watch(model, window=5) as health:
        train(model, 5)
    assert health.summary in health.to_html()


def test_a_layer_that_is_left_out_has_not_died():
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.always, self.seldom = network()[:2], network(nn.LeakyReLU)
            self.step = 0

        def forward(self, x):
            self.step += 1
            y = self.always(x).sum()
            return y + self.seldom(x).sum() if self.step == 1 else y

    with watch(Skips(), window=5) as health:
        train(health.model, 15)
    assert health.history()["layer"].tolist() == ["always.1", "seldom.1", "seldom.3"] + 2 * [
        "always.1"
    ]


def test_a_long_run_needs_no_more_memory(monkeypatch):
    monkeypatch.setattr(leakyrelu.health._findings, "MOST_WINDOWS", 8)
    monkeypatch.setattr(leakyrelu.health._findings, "MOST_DEATHS", 10)
    model = network()
    alive(model[0])

    def change(step):
        with torch.no_grad():
            model[0].bias[3] = -100.0 if step // 2 % 2 else 0.5

    with watch(model, window=2) as health:
        train(model, 200, change)
    history = health.history().query("layer == '1'")
    assert len(history) <= 8
    assert history["step"].max() == 200
    assert history["died"].sum() == health.table()["died"][0] == 50
    assert history["revived"].sum() == 49
    assert len(health.deaths) == 10
    assert health.plot().axes


def test_the_end_of_a_window_is_told():
    steps = []
    model = network()
    with watch(model, window=3, on_window=lambda health: steps.append(len(health.history()))):
        train(model, 7)
    assert steps == [2, 4]


def test_a_unit_that_fires_seldom_was_not_pushed():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(0.5)  # a pre-activation of standard deviation 1
        model[0].bias.copy_(torch.tensor([-2.7, 0.0, 0.0]))
    with watch(model, window=2) as health:
        for _ in range(60):
            train(model, 1)  # on other examples each time
    seldom = [deaths for deaths in health.deaths if deaths.first > 0]
    assert len(seldom) > 2
    assert {deaths.cause for deaths in seldom} == {"rare"}
    assert "rarely fired before" in str(seldom[0])


def test_the_update_is_seen_whoever_calls_the_forward():
    def updates(loop):
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        with watch(model, window=8) as health:
            loop(model, optimizer, torch.randn(64, 4))
        return health._tracked["1 relu"].updates

    def plain(model, optimizer, x):
        for _ in range(4):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    def with_closures(model, optimizer, x):
        def closure():
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.step(closure)

    def accumulated(model, optimizer, x):
        for _ in range(4):
            optimizer.zero_grad()
            for part in x.chunk(2):
                (model(part).square().mean() / 2).backward()
            optimizer.step()

    expected = updates(plain)
    assert updates(with_closures) == pytest.approx(expected)
    assert updates(accumulated) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("step", [20, 24])
def test_a_checkpoint_within_a_window(step):
    model = network()
    alive(model[0]), alive(model[2])
    health = watch(model, window=10).start()
    train(model, step)
    state = health.state_dict()
    health.stop()
    assert state["step"] == step
    resumed = watch(model, window=10)
    resumed.load_state_dict(state)
    assert len(resumed.history()) == 4
    with torch.no_grad():
        model[0].bias[3] = -100.0
    with resumed:
        train(model, 20)
    (deaths,) = [deaths for deaths in resumed.deaths if 3 in deaths.units]
    assert deaths.cause == "bias"  # it is known what it was before


def test_an_error_of_a_callback_leaves_no_hooks():
    def fails(_):
        raise OSError("disk full")

    model = network()
    health = watch(model, window=3, on_window=fails).start()
    train(model, 3)
    with pytest.raises(OSError, match="disk full"):
        health.stop()
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    health.stop()
