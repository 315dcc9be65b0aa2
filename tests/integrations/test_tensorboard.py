"""What TensorBoard is given is what was found."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from leakyrelu.health import watch
from leakyrelu.integrations._scalars import scalars
from leakyrelu.integrations.tensorboard import log_to


class Network(nn.Module):
    """One ReLU that is called twice, and a leaky one by function."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 16), nn.Linear(16, 16), nn.Linear(16, 8)])
        self.relu, self.head = nn.ReLU(), nn.Linear(8, 1)
        with torch.no_grad():
            self.layers[0].bias[:4] = -100.0
            self.layers[2].bias[:2] = -100.0

    def forward(self, x):
        for layer in self.layers[:2]:
            x = self.relu(layer(x))
        return self.head(nn.functional.leaky_relu(self.layers[2](x)))


def train(model, steps):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(32, 4)).square().mean().backward()
        optimizer.step()


def events(folder):
    read = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0})
    read.Reload()
    return read


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run of four windows, and what TensorBoard has of it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs")
    model = Network()
    with (
        SummaryWriter(folder) as writer,
        watch(model, window=5, on_window=log_to(writer)) as health,
    ):
        train(model, 20)
    return health, events(folder)


NAMES = {"relu": "relu", "relu #2": "relu__2", "(model)": "_model_"}


def test_the_numbers_are_those_of_the_history(run):
    health, read = run
    history = health.history()
    assert history["dead"].max() > 0
    assert history["stuck negative"].max() > 0
    for layer, name in NAMES.items():
        rows = history[history["layer"] == layer]
        for measure, expected in {
            "dead": rows["dead"] / rows["units"],
            "stuck_negative": rows["stuck negative"] / rows["units"],
            "gradient": rows["gradient"],
        }.items():
            found = read.Scalars(f"health/{measure}/{name}")
            assert [event.step for event in found] == [5, 10, 15, 20]
            assert [event.value for event in found] == pytest.approx(expected.tolist())
        rate = read.Scalars(f"health/median_rate/{name}")[-1].value
        assert rate == pytest.approx(health.table().set_index("layer").loc[layer, "median rate"])


def test_the_totals_are_shares_of_all_units(run):
    health, read = run
    by_step = health.history().groupby("step")[["units", "dead", "stuck negative"]].sum()
    for name in ("dead", "stuck negative"):
        found = read.Scalars(f"health/{name.replace(' ', '_')}")
        assert [event.value for event in found] == pytest.approx(
            (by_step[name] / by_step["units"]).tolist()
        )
    report = health.table()
    dormant = (report["dormant %"] * report["units"]).sum() / report["units"].sum() / 100
    assert read.Scalars("health/dormant")[-1].value == pytest.approx(dormant)
    assert dormant > 0


def test_the_image_is_the_heat_map(run):
    health, read = run
    image = read.Images("health/silent")[-1]
    found = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
    canvas = FigureCanvasAgg(health.plot())
    canvas.draw()
    assert image.step == 20
    np.testing.assert_array_equal(found, np.asarray(canvas.buffer_rgba())[..., :3])


def test_a_long_run_is_not_spent_on_drawing(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    with SummaryWriter(tmp_path) as writer, watch(model, window=1, on_window=log_to(writer)):
        train(model, 30)
    read = events(tmp_path)
    steps = [image.step for image in read.Images("health/silent")]
    assert len(read.Scalars("health/dead")) == 30
    assert len(steps) < 20
    assert all(later <= 1.1 * earlier + 1 for earlier, later in pairwise(steps))


def test_a_window_that_ends_is_told():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    told = []
    with watch(
        model, window=5, on_window=lambda h: told.append((h, h.step, len(h.history())))
    ) as health:
        train(model, 12)
        assert told == [(health, 5, 1), (health, 10, 2)]
    assert len(told) == 2
    with watch(model, window=5, on_window=told.append) as health:
        train(model, 2)
    assert told[2:] == [health]  # the first window ends where watching does


def test_totals_alone():
    model = Network()
    with watch(model, window=2) as health:
        train(model, 2)
    assert list(scalars(health, by_layer=False)) == [
        "health/dead",
        "health/stuck_negative",
        "health/dormant",
    ]
