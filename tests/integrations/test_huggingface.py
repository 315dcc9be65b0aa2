"""The Trainer of Transformers, on small models drawn at random."""

import importlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    OPTConfig,
    OPTForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    Trainer,
    TrainingArguments,
)

from leakyrelu.integrations.huggingface import HealthCallback

pytestmark = pytest.mark.filterwarnings("ignore::leakyrelu.health.HealthWarning")

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
POSITIONS = 6


@pytest.fixture(autouse=True)
def _offline_with_the_same_numbers(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(0)


def bert():
    torch.manual_seed(0)
    config = BertConfig(
        **SIZES,
        intermediate_size=16,
        hidden_act="relu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    with torch.no_grad():
        first(model).bias[:2] = -100.0
    return model


def first(model):
    return model.bert.encoder.layer[0].intermediate.dense


def sentences(count=64):
    """Sentences of different lengths, padded to the same."""
    ids = torch.randint(1, 20, (count, POSITIONS))
    is_real = torch.arange(POSITIONS) < torch.randint(1, POSITIONS + 1, (count, 1))
    return [
        {"input_ids": row.where(mask, 0), "attention_mask": mask.long(), "labels": index % 2}
        for index, (row, mask) in enumerate(zip(ids, is_real, strict=True))
    ]


def trainer_for(model, *, data=None, trainer=Trainer, **options):
    arguments = {
        "output_dir": "out",
        "max_steps": 10,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        **options,
    }
    data = sentences() if data is None else data
    return trainer(model, TrainingArguments(**arguments), train_dataset=data)


def watched(trainer, **options):
    callback = HealthCallback(trainer, **{"window": 5, **options})
    trainer.add_callback(callback)
    return callback


def has_hooks(model):
    return any(m._forward_hooks or m._forward_pre_hooks for m in model.modules()) or bool(
        sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks
    )


def test_what_is_logged_is_the_history():
    model = bert()
    trainer = trainer_for(model, report_to=["tensorboard"], logging_steps=2)
    callback = watched(trainer, by_layer=True)
    trainer.train()
    history = callback.health.history()
    assert history["step"].unique().tolist() == [5, 10]
    assert history["units"].tolist() == [16] * 4
    assert history["dead"].max() > 0
    total = history.groupby("step")[["dead", "units"]].sum()
    expected = (total["dead"] / total["units"]).to_dict()
    logged = pd.DataFrame(trainer.state.log_history).set_index("step")
    assert logged["health/dead"].dropna().to_dict() == pytest.approx(expected)
    assert logged["loss"].dropna().index.tolist() == [2, 4, 6, 8, 10]  # none is lost
    (file,) = Path("out").rglob("events.out.*")
    events = EventAccumulator(str(file)).Reload()
    read = {event.step: event.value for event in events.Scalars("train/health/dead")}
    assert read == pytest.approx(expected)
    layer = history["layer"][0]
    rows = history[history["layer"] == layer].set_index("step")
    read = {event.step: event.value for event in events.Scalars(f"train/health/gradient/{layer}")}
    assert read == pytest.approx(rows["gradient"].to_dict())
    assert not has_hooks(model)


def test_totals_alone_by_default():
    trainer = trainer_for(bert())
    watched(trainer)
    trainer.train()
    names = {name for logs in trainer.state.log_history for name in logs if "health" in name}
    assert names == {"health/dead", "health/stuck_negative", "health/dormant"}


@pytest.mark.parametrize("is_masked", [True, False])
def test_padding_is_masked_out(is_masked):
    model = bert()
    seen = []

    def keep(module, args, output):
        if model.training and not seen:
            seen.append(output.detach() > 0)

    hook = first(model).register_forward_hook(keep)
    batches = []

    class Keeps(Trainer):
        def compute_loss(self, model, inputs, **options):
            batches.append(inputs["attention_mask"].bool())
            return super().compute_loss(model, inputs, **options)

    trainer = trainer_for(model, max_steps=3, trainer=Keeps)
    callback = watched(trainer, window=3, **({} if is_masked else {"mask": None}))
    trainer.train()
    hook.remove()
    is_real = batches[0] if is_masked else torch.ones_like(batches[0])
    expected = seen[0][is_real].float().mean(0)
    found = callback.health.layers[0].counts.positive_rate
    assert found.tolist() == pytest.approx(expected.tolist())
    assert not batches[0].all()


def decoder():
    config = OPTConfig(
        **SIZES, ffn_dim=16, word_embed_proj_dim=8, max_position_embeddings=16, pad_token_id=0
    )
    return OPTForCausalLM(config)


def encoder_decoder():
    return T5ForConditionalGeneration(
        T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2,
                 decoder_start_token_id=0)
    )  # fmt: skip


@pytest.mark.parametrize(("make", "units"), [(decoder, [16, 16]), (encoder_decoder, [16, 16])])
def test_models_that_generate(make, units):
    data = [{**row, "labels": row["input_ids"]} for row in sentences()]
    trainer = trainer_for(make(), data=data, max_steps=2)
    callback = watched(trainer, window=2)
    trainer.train()
    assert callback.health.table()["units"].tolist() == units


def test_data_without_a_mask():
    data = [{name: row[name] for name in ("input_ids", "labels")} for row in sentences()]
    trainer = trainer_for(bert(), data=data)
    callback = watched(trainer)
    trainer.train()
    assert callback.health.step == 10


def test_steps_are_forwards_where_gradients_accumulate():
    trainer = trainer_for(bert(), gradient_accumulation_steps=2, eval_steps=2, max_steps=5)
    trainer.eval_dataset = sentences(8)
    callback = watched(trainer)
    trainer.train()
    assert callback.health.history()["step"].unique().tolist() == [5, 10]
    assert callback.health.history()["examples"].unique().tolist() == [20]
    logged = pd.DataFrame(trainer.state.log_history).dropna(subset=["health/dead"])
    assert logged["step"].tolist() == [2, 5]


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_training_resumes(is_moved):
    trainer = trainer_for(bert(), save_strategy="steps", save_steps=5)
    before = watched(trainer)
    trainer.train()
    checkpoint = Path("out/checkpoint-10")
    if is_moved:
        checkpoint = Path(shutil.move(checkpoint, "elsewhere"))
    trainer = trainer_for(bert(), max_steps=20)
    callback = watched(trainer)
    trainer.train(resume_from_checkpoint=str(checkpoint) if is_moved else True)
    history = callback.health.history()
    assert history["step"].unique().tolist() == [5, 10, 15, 20]
    pd.testing.assert_frame_equal(history[history["step"] <= 10], before.health.history())
    deaths = before.health.deaths
    assert deaths
    assert callback.health.deaths[: len(deaths)] == deaths


def test_a_checkpoint_of_a_training_that_was_not_watched():
    trainer_for(bert(), save_strategy="steps", save_steps=5).train()
    trainer = trainer_for(bert(), max_steps=20)
    callback = watched(trainer)
    with pytest.warns(UserWarning, match=r"checkpoint-10/health\.pt does not exist"):
        trainer.train(resume_from_checkpoint=True)
    assert callback.health.step == 10


class Fails(Trainer):
    def compute_loss(self, *args, **options):
        if self.state.global_step == 7:
            raise KeyError("inside")
        return super().compute_loss(*args, **options)


def test_an_error_leaves_nothing_behind():
    model = bert()
    trainer = trainer_for(model, trainer=Fails)
    callback = watched(trainer)
    with pytest.raises(KeyError, match="inside"):
        trainer.train()
    assert not has_hooks(model)
    assert callback.health.history()["step"].unique().tolist() == [5]


class OutOfMemory(Trainer):
    def training_step(self, model, inputs, *args, **options):
        if len(inputs["labels"]) > 2:
            raise RuntimeError("CUDA out of memory.")
        return super().training_step(model, inputs, *args, **options)


def test_smaller_batches_begin_anew():
    model = bert()
    trainer = trainer_for(model, trainer=OutOfMemory, auto_find_batch_size=True)
    callback = watched(trainer)
    trainer.train()
    assert callback.health.history()["examples"].unique().tolist() == [10]
    assert not has_hooks(model)


DISTRIBUTED = """
import multiprocessing, os, sys, torch
from pathlib import Path
from torch import nn
from transformers import Trainer, TrainingArguments
from leakyrelu.integrations.huggingface import HealthCallback

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        with torch.no_grad():
            # Unit 0 fires on rank 0 alone, unit 1 on none, unit 2 on both.
            self.net[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
            self.net[0].bias.copy_(torch.tensor([0.0, -1.0, 1.0]))

    def forward(self, x, labels=None):
        return {"loss": self.net(x * (1 - 2 * int(os.environ["RANK"]))).mean()}

def train(rank):
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[1])
    arguments = TrainingArguments(
        "out", max_steps=6, save_steps=3, learning_rate=0.0, per_device_train_batch_size=2,
        report_to=[], use_cpu=True, ddp_backend="gloo",
    )
    data = [{"x": torch.tensor([1.0, 0.0])}] * 24
    trainer = Trainer(Model(), arguments, train_dataset=data)
    callback = HealthCallback(trainer, window=3)
    trainer.add_callback(callback)
    trainer.train()
    health = callback.health
    dead, examples = health.deaths_table()["unit"].tolist(), health.history()["examples"].tolist()
    Path(f"rank{rank}").write_text(f"{health.layers[0].layer}: {dead} of {examples}")

processes = [multiprocessing.get_context("fork").Process(target=train, args=[r]) for r in (0, 1)]
for process in processes:
    process.start()
for process in processes:
    process.join()
"""


def test_a_unit_is_dead_only_if_it_is_on_every_rank():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = subprocess.run(
        [sys.executable, "-c", DISTRIBUTED, port], capture_output=True, text=True, timeout=120
    )
    found = [file.read_text() for file in sorted(Path().glob("rank?"))]
    assert found == ["net.1: [1] of [12, 12]"] * 2, process.stderr
    assert Path("out/checkpoint-6/health.pt").exists()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "leakyrelu.integrations.huggingface")
    with pytest.raises(ImportError, match=r"pip install 'leakyrelu\[huggingface\]'"):
        importlib.import_module("leakyrelu.integrations.huggingface")
