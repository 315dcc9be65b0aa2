"""Lightning's own loop, with its loggers, checkpoints and ranks."""

import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.utils.data import DataLoader

from leakyrelu.health import HealthWarning
from leakyrelu.integrations.lightning import HealthCallback

pytestmark = [
    pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning"),
    pytest.mark.filterwarnings("ignore:The number of training batches"),
    pytest.mark.filterwarnings("ignore:.*is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


class Parts(LightningModule):
    """Its training step calls parts, one through its own forward."""

    def __init__(self, fails_at=None):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6))
        self.decoder = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(), nn.Linear(16, 4))
        self.fails_at = fails_at
        with torch.no_grad():
            self.encoder[0].bias[:2] = -100.0
            self.decoder[0].bias[:3] = -100.0

    def forward(self, x):
        return F.relu(self.encoder(x))

    def training_step(self, batch):
        if self.global_step == self.fails_at:
            raise KeyError("inside")
        return (self.decoder(self(batch)) - batch).square().mean()

    def validation_step(self, batch):
        self.decoder(self(batch * 1e6))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.125)


def data(examples=80):
    return DataLoader(torch.randn(examples, 4), batch_size=8)


def trainer_with(*callbacks, **options):
    return Trainer(
        accelerator="cpu",
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 2, "logger": False, **options},
    )


def has_hooks(model):
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()) or bool(
        sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks
    )


def test_all_that_the_training_step_calls_is_watched_and_logged():
    model, callback = Parts(), HealthCallback(window=5)
    loggers = [CSVLogger("one"), CSVLogger("two")]
    trainer_with(callback, logger=loggers).fit(model, data(), data(16))
    history = callback.health.history()
    assert history["step"].unique().tolist() == [5, 10, 15, 20]
    assert history["layer"].unique().tolist() == ["encoder.1", "(model)", "decoder.1"]
    assert history["examples"].unique().tolist() == [40]
    assert (history.query("layer == 'encoder.1'")["dead"] >= 2).all()
    assert (history.query("layer == 'decoder.1'")["stuck negative"] >= 3).all()
    assert callback.health.deaths[0].cause == "born dead"
    for logger in loggers:
        logged = pd.read_csv(f"{logger.log_dir}/metrics.csv").set_index("step")
        for layer, name in {"encoder.1": "encoder.1", "(model)": "_model_"}.items():
            rows = history[history["layer"] == layer].set_index("step")
            dead = logged[f"health/dead/{name}"].dropna()
            assert dead.to_dict() == pytest.approx((rows["dead"] / rows["units"]).to_dict())
            gradient = logged[f"health/gradient/{name}"].dropna()
            assert gradient.to_dict() == pytest.approx(rows["gradient"].to_dict())
    assert not has_hooks(model)
    assert "training_step" not in vars(model)


def test_the_optimizer_is_seen():
    model, callback = Parts(), HealthCallback(window=5)

    class Kill(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            if trainer.global_step == 12:
                with torch.no_grad():
                    module.encoder[0].bias[5:] = -50.0

    trainer_with(callback, Kill()).fit(model, data())
    (killed,) = [d for d in callback.health.deaths if (d.layer, d.first) == ("encoder.1", 10)]
    assert set(range(5, 16)) >= set(killed.units)
    assert (killed.cause, killed.learning_rate) == ("bias", 0.125)


def test_numbers_do_not_change():
    def run(*callbacks):
        torch.manual_seed(0)
        model = Parts()
        trainer_with(*callbacks).fit(model, data())
        return list(model.state_dict().values())

    assert all(map(torch.equal, run(), run(HealthCallback(window=3))))


def test_the_mask_is_called_as_the_training_step():
    class Tokens(LightningModule):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)
            with torch.no_grad():
                self.linear.weight.copy_(torch.tensor([[1.0, 0], [-1.0, 0], [0, 0]]))
                self.linear.bias.copy_(torch.tensor([0.0, 0, 1]))

        def training_step(self, batch, batch_idx):
            x, _ = batch
            return torch.relu(self.linear(x)).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)

    x = torch.tensor([[[1.0, 0], [1, 0], [-1, 0]]] * 4)  # the last position is padding
    is_real = torch.tensor([[True, True, False]] * 4)
    batches = DataLoader(torch.utils.data.TensorDataset(x, is_real), batch_size=2)
    callback = HealthCallback(window=2, mask=lambda batch, batch_idx: batch[1])
    trainer_with(callback).fit(Tokens(), batches)
    assert callback.health.deaths_table()["unit"].tolist() == [1]


def test_a_training_resumes():
    model, callback = Parts(), HealthCallback(window=5)
    trainer = trainer_with(callback)
    trainer.fit(model, data())
    trainer.save_checkpoint("half.ckpt")
    resumed = HealthCallback(window=5)
    trainer_with(resumed, max_epochs=3).fit(Parts(), data(), ckpt_path="half.ckpt")
    history = resumed.health.history()
    assert history["step"].unique().tolist() == [5, 10, 15, 20, 25, 30]
    pd.testing.assert_frame_equal(history[history["step"] <= 20], callback.health.history())
    deaths = callback.health.deaths
    assert deaths
    assert resumed.health.deaths[: len(deaths)] == deaths
    trainer_with(resumed, max_epochs=1).fit(Parts(), data())  # a new one begins anew
    assert resumed.health.history()["step"].unique().tolist() == [5, 10]


def test_an_error_leaves_nothing_behind():
    model, callback = Parts(fails_at=7), HealthCallback(window=5)
    with pytest.raises(KeyError, match="inside"):
        trainer_with(callback).fit(model, data())
    assert callback.health.history()["step"].unique().tolist() == [5]
    assert not has_hooks(model)
    assert "training_step" not in vars(model)
    model.fails_at = None
    trainer_with(callback).fit(model, data())
    assert callback.health.step == 20


def test_a_model_without_activations_is_told():
    class Linear(Parts):
        def __init__(self):
            super().__init__()
            self.encoder[1], self.decoder[1] = nn.Tanh(), nn.Tanh()

        def forward(self, x):
            return self.encoder(x)

    model = Linear()
    with pytest.warns(HealthWarning, match="watching ended .* none of the known activations"):
        trainer_with(HealthCallback()).fit(model, data())  # the training goes on
    assert not has_hooks(model)


def test_a_compiled_model():
    torch._dynamo.reset()
    model, callback = Parts(), HealthCallback(window=5)
    step = model.training_step
    compiled = torch.compile(model, backend="eager")
    trainer_with(callback).fit(compiled, data())
    assert callback.health.history()["step"].unique().tolist() == [5, 10, 15, 20]
    assert model._compiler_ctx["original_training_step"] == step
    assert vars(model)["training_step"].__wrapped__ == step


DISTRIBUTED = """
import sys, torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from leakyrelu.integrations.lightning import HealthCallback

class Model(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        with torch.no_grad():
            # Unit 0 fires on rank 0 alone, unit 1 on none, unit 2 on both.
            self.net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
            self.net[0].bias.copy_(torch.tensor([0.0, -1.0, 1.0]))

    def training_step(self, batch):
        return self.net(batch * (1 - 2 * self.global_rank)).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)

class Checked(HealthCallback):
    def on_train_end(self, trainer, module):
        super().on_train_end(trainer, module)
        with open(f"rank{trainer.global_rank}", "w") as file:
            dead = self.health.deaths_table()["unit"].tolist()
            examples = self.health.history()["examples"].tolist()
            file.write(f"{self.health.layers[0].layer}: {dead} of {examples}")

trainer = Trainer(
    accelerator="cpu", strategy="ddp_fork", devices=2, max_epochs=1, logger=False,
    callbacks=[Checked(window=3)], enable_checkpointing=False, enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Model(), torch.utils.data.DataLoader(torch.tensor([[1.0, 0.0]] * 12), batch_size=2))
"""


def test_a_unit_is_dead_only_if_it_is_on_every_rank():
    process = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    assert [Path(f"rank{rank}").read_text() for rank in range(2)] == ["net.1: [1] of [12]"] * 2


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    monkeypatch.delitem(sys.modules, "leakyrelu.integrations.lightning")
    with pytest.raises(ImportError, match=r"pip install 'leakyrelu\[lightning\]'"):
        importlib.import_module("leakyrelu.integrations.lightning")
