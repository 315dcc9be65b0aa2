"""What the command line names: models, weights and data of the user's own."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from leakyrelu._data.files import is_name
from leakyrelu._data.loading import load_batches, load_checkpoint, load_model, load_object

MODULE = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU())

model = make()
examples = torch.ones(5, 3)

def batches():
    return [torch.ones(5, 3)]

def array():
    return torch.ones(5, 3).double().numpy()

state = make().state_dict()

def fails():
    raise KeyError("inside")

def leaves():
    raise SystemExit(3)

def fails_in_two_lines():
    raise ValueError("one\\ntwo")

class Nested:
    make = staticmethod(make)
"""


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    name = f"user_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    request.node.module_name = name


@pytest.fixture
def module(request):
    return request.node.module_name


@pytest.mark.parametrize("name", ["make", "model", "Nested.make"])
def test_models(module, name):
    assert isinstance(load_model(f"{module}:{name}")[1], nn.ReLU)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{}", "should be module:name"),
        ("{}:", "should be module:name"),
        ("{}:mak", "has no 'mak'; did you mean 'make'?"),
        ("no_such_module:make", "can't be imported: ModuleNotFoundError"),
        ("{}:fails", r"fails\(\) failed: KeyError: 'inside'"),
        ("{}:fails_in_two_lines", r"failed: ValueError: one two$"),
        ("{}:leaves", r"leaves\(\) failed: SystemExit: 3"),
        ("leaves:make", "can't be imported: SystemExit: 3"),
        ("{}:examples", "is a Tensor, but should be a torch.nn.Module"),
    ],
)
def test_no_models(module, spec, message):
    with pytest.raises(ValueError, match=message):
        load_model(spec.format(module))


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("module:name", True),
        ("package.module:Class.method", True),
        ("f1_macro", False),
        ("module:", False),
        ("https://a.org/t.csv", False),
        ("s3://bucket/t.csv", False),
        (r"C:\data\t.csv", False),
        ("C:/data/t.csv", False),
        ("leaky_relu:0.2", False),
        ("a:file", False),
    ],
)
def test_names_and_paths(spec, named, tmp_path):
    (tmp_path / "a:file").touch()
    assert is_name(spec) == named


def test_an_object_may_be_anything():
    assert load_object("math:pi") > 3


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {f"module.{name}": x for name, x in state.items()}},
        lambda state: {"model_state_dict": {f"_orig_mod.{name}": x for name, x in state.items()}},
    ],
)
def test_checkpoints(tmp_path, wrap):
    saved, model = nn.Linear(3, 4), nn.Linear(3, 4)
    torch.save(wrap(saved.state_dict()), tmp_path / "weights.pt")
    load_checkpoint(model, tmp_path / "weights.pt")
    assert torch.equal(model.weight, saved.weight)


def test_a_safetensors_checkpoint(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    model, saved = nn.Linear(3, 4), nn.Linear(3, 4)
    path = tmp_path / "weights.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_checkpoint(model, path)
    save_file({f"module.{name}": value for name, value in saved.state_dict().items()}, path)
    load_checkpoint(model, path)
    assert torch.equal(model.weight, saved.weight)
    for content in (b"", b"no weights", path.read_bytes()[:-3]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"can't be read as a \.safetensors file"):
            load_checkpoint(model, path)


def test_no_checkpoints(tmp_path):
    path = tmp_path / "weights.pt"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_checkpoint(nn.Linear(3, 4), path)
    torch.save(nn.Linear(3, 5).state_dict(), path)
    with pytest.raises(ValueError, match=r"don.t fit the model: .*size mismatch"):
        load_checkpoint(nn.Linear(3, 4), path)
    torch.save([1], path)
    with pytest.raises(ValueError, match="contains a list, but should be a state dict"):
        load_checkpoint(nn.Linear(3, 4), path)
    torch.save(nn.Linear(3, 4), path)
    with pytest.raises(ValueError, match="save the state_dict"):
        load_checkpoint(nn.Linear(3, 4), path)
    for content in (b"", b"no weights", b"PK\x03\x04 cut off"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="can't be read as tensors"):
            load_checkpoint(nn.Linear(3, 4), path)


def test_data(tmp_path, module):
    x = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", whatever=x)
    np.savez(tmp_path / "two.npz", x=x, y=np.array([{}, {}], dtype=object))
    torch.save(torch.tensor(x, dtype=torch.float32), tmp_path / "x.pt")
    pd.DataFrame(x, columns=list("abc")).to_csv(tmp_path / "x.csv", index=False)
    pd.DataFrame(x, columns=list("abc")).to_parquet(tmp_path / "x.parquet")
    for name in ("x.npy", "one.npz", "two.npz", "x.pt", "x.csv", "x.parquet"):
        data = load_batches(str(tmp_path / name))
        assert data.dtype == torch.float32, name
        assert data.tolist() == x.tolist(), name
    np.save(tmp_path / "tokens.npy", np.array([[1, 2]]))
    assert load_batches(str(tmp_path / "tokens.npy")).dtype == torch.int64
    for dtype in (">f8", ">f4", ">i2"):  # of another order of bytes
        np.save(tmp_path / "swapped.npy", np.array([[1, 2]], dtype=dtype))
        assert load_batches(str(tmp_path / "swapped.npy")).tolist() == [[1, 2]]
    assert load_batches(f"{module}:examples").shape == (5, 3)
    assert len(load_batches(f"{module}:batches")) == 1
    assert load_batches(f"{module}:array").dtype == torch.float32


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
def test_tables_are_read_as_compare_reads_them(tmp_path, separator, mark, ending):
    """Separators and decimal marks are found."""
    x = pd.DataFrame({"a": [1.5, 2.25, -3.0], "b": [0.5, 1e-3, 7.25]})
    path = tmp_path / f"x{ending}"
    x.to_csv(path, sep=separator, decimal=mark, index=False)
    assert np.array_equal(load_batches(str(path)), x.to_numpy(np.float32))


def test_no_data(tmp_path, module):
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(2))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    pd.DataFrame({"a": [1], "b": ["text"]}).to_csv(tmp_path / "text.csv", index=False)
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    for name in ("broken.npz", "zip.npz", "empty.npy"):
        (tmp_path / name).write_bytes({"b": b"nothing", "z": b"PK\x03\x04 cut", "e": b""}[name[0]])
    for name, message in {
        "two.npz": "has the arrays a, b; call the one with the examples x",
        "objects.npy": "can't be read",
        "text.csv": "columns that are not numbers: b",
        "broken.parquet": "can't be read",
        "broken.npz": "can't be read: it has no arrays of numbers or text",
        "zip.npz": "can't be read: it has no arrays",
        "empty.npy": "can't be read: it has no arrays",
        "x.txt": "should be module:name, or end in .npy",
        f"{module}:Nested": "is a Nested, but should be a tensor of examples",
        f"{module}:state": "is a OrderedDict, but should be a tensor of examples",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_batches(name if ":" in name else str(tmp_path / name))
    for name in ("no.npy", "no.csv", "no.pt"):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            load_batches(name)
    with pytest.raises(ValueError, match="KeyError"):
        load_batches(f"{module}:fails")
