"""Runs as they are written: activations by any name, columns, folders of TensorBoard."""

import numpy as np
import pytest

import leakyrelu
from leakyrelu._compare.data.labels import Label, named
from leakyrelu._compare.data.run_columns import measured, plain
from leakyrelu._compare.data.tensorboard import _named
from leakyrelu.activations import Activation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ReLU", "relu"),
        ("nn.ReLU", "relu"),
        ("torch.nn.ReLU()", "relu"),
        ("ReLU(inplace=True)", "relu"),
        ("GELU", "gelu"),
        ("swish", "silu"),
        ("SiLU()", "silu"),
        ("leaky_relu:0.2", "leaky_relu:0.2"),
        ("Leaky-ReLU:0.2", "leaky_relu:0.2"),
        ("LeakyReLU(0.2)", "leaky_relu:0.2"),
        ("LeakyReLU(negative_slope=0.2)", "leaky_relu:0.2"),
        ("LeakyReLU", "LeakyReLU"),  # 0.01 in PyTorch, 0.3 in Keras
        ("leaky relu", "leaky relu"),
        ("leaky_relu", "leaky_relu"),
        (" Snake ", "Snake"),
        ("Mish", "mish"),
        ("no_such_module:act", "no_such_module:act"),
        ("antigravity:fly", "antigravity:fly"),
        ("elu:a", "elu:a"),
        ("relu^2", "relu^2"),
        ("", ""),
    ],
)
def test_names(text, expected):
    assert named(text) == expected
    is_known = expected in ("relu", "gelu", "silu", "mish", "leaky_relu:0.2")
    assert isinstance(named(text), Label) != is_known
    assert isinstance(named(text), Activation)


def test_a_label_is_a_name_and_no_more():
    import copy
    import pickle

    label = named("my act")
    for other in (pickle.loads(pickle.dumps(label)), copy.deepcopy(label)):
        assert other == label
        assert isinstance(other, Label)
    assert not label.can_die
    assert not label.code


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("metrics.test_accuracy", "accuracy"),
        ("test/acc", "acc"),
        ("Test Accuracy", "accuracy"),
        ("accuracy_test", "accuracy"),
        ("val-loss", "loss"),
        ("score/validation", "score"),
        ("F1", "f1"),
    ],
)
def test_what_a_column_measures(name, expected):
    assert measured(name) == expected


def test_plain_names():
    assert plain("params.Random State") == "random_state"
    assert plain("config/lr") == "lr"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("relu-lr0.01-seed3", {"activation": "relu", "learning_rate": "0.01", "seed": "3"}),
        (
            "leaky_relu_0.2-lr1e-3-seed12",
            {"activation": "leaky_relu_0.2", "learning_rate": "1e-3", "seed": "12"},
        ),
        ("relu/seed_3", {"activation": "relu", "seed": "3"}),
        ("seed=3,act=my act", {"seed": "3", "act": "my act"}),
        ("GELU_seed5", {"activation": "GELU", "seed": "5"}),
        (".", {}),
    ],
)
def test_names_of_folders(path, expected):
    assert _named(path) == expected


def write_runs(folder, hparams):
    from torch.utils.tensorboard import SummaryWriter

    rng = np.random.default_rng(0)
    expected = {}
    for name, above in (("relu", 0.0), ("Snake", 0.1)):
        for seed in range(4):
            score = 0.8 + above + 0.01 * rng.normal()
            expected[name, seed] = score
            with SummaryWriter(folder / f"{name}_seed{seed}" if not hparams else folder) as writer:
                for step in range(3):
                    writer.add_scalar("test/accuracy", score * step / 2, step)
                if hparams:
                    given = {"activation": name, "seed": seed, "lr": 0.1, "bias": True}
                    metrics = {"test/accuracy": score}
                    writer.add_hparams(given, metrics, run_name=f"{name}{seed}")
    return expected


@pytest.mark.parametrize("hparams", [True, False])
def test_folders_of_tensorboard(hparams, tmp_path):
    pytest.importorskip("tensorboard")
    expected = write_runs(tmp_path / "runs", hparams)
    found = leakyrelu.judge(tmp_path / "runs")
    assert {
        (str(t.activation), t.seed): pytest.approx(t.test_score, abs=1e-6)
        for t in found.histories()
    } == expected
    assert found.task.metric.name == "accuracy"
    assert found.holds("Snake better than relu")


def test_hparams_in_a_folder_of_keras_and_tensors(tmp_path):
    """Scalars may be written as tensors."""
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto
    from torch.utils.tensorboard import SummaryWriter

    for name in ("relu", "elu"):
        for seed in range(3):
            plugin = SummaryMetadata.PluginData(plugin_name="scalars")
            value = Summary.Value(
                tag="test_accuracy",
                tensor=make_tensor_proto(np.float32(0.5 + 0.1 * seed)),
                metadata=SummaryMetadata(plugin_data=plugin),
            )
            with SummaryWriter(tmp_path / name / f"seed{seed}") as writer:
                writer.file_writer.add_summary(Summary(value=[value]), 1)
    found = leakyrelu.judge(tmp_path)
    assert [round(t.test_score, 6) for t in found.histories()] == [0.5, 0.6, 0.7] * 2
