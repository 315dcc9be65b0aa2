"""The picture: what is drawn, where it is written, what is refused."""

import copy
import functools
import gzip
import io
import math
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import hypothesis
import jax
import matplotlib
import matplotlib.style
import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from torch import nn
from torch.nn import functional

import leakyrelu
import leakyrelu.nn
from leakyrelu.activations import KINDS, parse


def test_curves_labels_and_legend():
    figure = leakyrelu.plot(["relu", "leaky_relu:0.2", "elu"])
    curve, slope = figure.axes
    assert [text.get_text() for text in curve.get_legend().get_texts()] == [
        "relu",
        "leaky_relu:0.2",
        "elu",
    ]
    for axes in (curve, slope):
        assert axes.get_xlabel()
        assert axes.get_title()
    x, y = curve.lines[1].get_data()
    assert (x.min(), x.max()) == (-4, 4)
    assert y[0] == pytest.approx(-0.8)
    assert set(slope.lines[1].get_ydata()[[0, -1]]) == {0.2, 1.0}


def test_curves_are_told_apart_without_colour():
    figure = leakyrelu.plot(list(leakyrelu.activations.KINDS)[:7])
    lines = figure.axes[0].get_legend().get_lines()
    assert len({str(line._dash_pattern) for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines}) == len(lines)


FORMATS = sorted(Figure().canvas.get_supported_filetypes())
STARTS = {
    "eps": b"%!PS-Adobe-3.0 EPSF",
    "pdf": b"%PDF-",
    "pgf": b"%% Creator: Matplotlib, PGF backend",
    "png": b"\x89PNG",
    "ps": b"%!PS-Adobe-3.0\n",
    "svg": b"<?xml",
    "svgz": b"\x1f\x8b",
}


def written(path, *activations, **options):
    """Write the picture; skip if the machine has no LaTeX, which one sentence must tell."""
    if path.suffix.lower() == ".pgf" and shutil.which("xelatex") is None:
        with pytest.raises(OSError, match=r"can't be written as \.pgf: .*xelatex.* not found"):
            leakyrelu.plot(*activations, path, **options)
        assert not list(path.parent.iterdir())
        pytest.skip("needs LaTeX")
    leakyrelu.plot(*activations, path, **options)
    return path.read_bytes()


@pytest.mark.parametrize("change_case", [str.lower, str.upper])
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_of_matplotlib(tmp_path, ending, change_case):
    path = tmp_path / change_case(f"picture.{ending}")
    content = written(path, ["relu", "leaky_relu:0.2"])
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if ending in ("raw", "rgba"):
        width, height = 1350, round(150 * leakyrelu.plot("relu").get_size_inches()[1])
        assert len(content) == width * height * 4
        image = Image.frombytes("RGBA", (width, height), content)
    elif ending in STARTS and ending != "png":
        assert content.startswith(STARTS[ending])
        if ending == "svgz":
            content = gzip.decompress(content)
        if ending.startswith("svg"):
            assert ElementTree.fromstring(content).tag.endswith("svg")
            assert b">leaky_relu:0.2</text>" in content
        return
    else:
        image = Image.open(path)
        assert image.format.lower() == {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending)
        assert image.width == 1350
    colors = image.convert("RGB").getcolors(1 << 20)
    assert min(max(colors)[1]) >= 254  # the page is white
    assert len(colors) > 50


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_picture_gives_the_same_file_at_any_time(tmp_path, monkeypatch, ending):
    contents = []
    for i, name in enumerate(("one", "two")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(10**9 + i * 10**8))
        monkeypatch.setattr("time.time", lambda i=i: 1e9 + i * 1e8)
        contents.append(written(tmp_path / f"{name}.{ending}", ["relu", "gelu"]))
    assert contents[0] == contents[1]
    assert b"Date: 2" not in contents[0]


@pytest.mark.parametrize("make", [str, Path])
def test_a_path_is_text_or_a_path(tmp_path, make):
    leakyrelu.plot("relu", make(tmp_path / "a.png"))
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize("path", [io.BytesIO(), b"a.png", 3])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match=f"must be a str or a path, but is a {type(path).__name__}"):
        leakyrelu.plot("relu", path)


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("picture.docx", ValueError, "should end in one of .avif, .eps"),
        ("picture", ValueError, "should end in one of"),
        ("missing/picture.png", FileNotFoundError, "there is no directory missing"),
        ("folder.png", IsADirectoryError, "is a directory; name a file"),
        ("/proc/picture.png", OSError, "/proc/picture.png can't be written"),
    ],
)
def test_where_nothing_can_be_written(tmp_path, path, error, message):
    (tmp_path / "folder.png").mkdir()
    figure = Figure()
    with pytest.raises(error, match=message):
        leakyrelu.plot("relu", path, figure=figure)
    assert list(tmp_path.rglob("*")) == [tmp_path / "folder.png"]


def test_a_file_that_is_read_only_stays(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # who runs the tests may write everything
        monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"picture\.png can't be written: it is read-only"):
        leakyrelu.plot("relu", path)
    assert path.read_bytes() == b"old"


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="can't be written: No space left on device"):
        leakyrelu.plot("relu", path)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["relo"],), "did you mean 'relu'"),
        (([],), "no activation given"),
        (({},), "no activation given"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        leakyrelu.plot(*arguments)


@pytest.mark.parametrize("given", [3, None, [[1]], torch.ones(2), {"a": 3}, [object()]])
def test_what_is_no_activation(given):
    with pytest.raises(TypeError, match=r"plot takes specs such as leaky_relu:0\.1, torch"):
        leakyrelu.plot(given)


def drawn(figure):
    """Return each label with the points of its curve and of its derivative."""
    curve, slope = figure.axes
    texts = curve.get_legend().get_texts()
    return {
        text.get_text(): (value.get_data(), derivative.get_data())
        for text, value, derivative in zip(texts, curve.lines, slope.lines, strict=False)
    }


def points(line):
    """Return the points that are drawn, without breaks."""
    x, y = line
    return x[np.isfinite(y)], y[np.isfinite(y)]


def breaks(line):
    """Return where the line breaks: the middle of the last point before and the first after."""
    x, y = line
    gaps = np.flatnonzero(np.diff(np.isfinite(y).astype(int)) == -1)
    ends = [x[i + 1 :][np.isfinite(y[i + 1 :])][0] for i in gaps]
    return [(x[i] + end) / 2 for i, end in zip(gaps, ends, strict=True)]


class Swish(nn.Module):
    """With a parameter, and a buffer that counts its calls."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        return x * torch.sigmoid(self.beta * x)


MODULES = [
    nn.Mish(),
    nn.LeakyReLU(0.3),
    nn.PReLU(),
    nn.ReLU(inplace=True),
    nn.RReLU(),
    nn.Dropout(),
    nn.Hardtanh(),
    nn.Hardswish(),
    nn.Hardshrink(),
    nn.Softplus(),
    nn.Identity(),
    nn.Sequential(nn.LeakyReLU(), nn.Dropout(), nn.Tanh()),
    Swish(),
    leakyrelu.nn.LeakyReLU(0.2),
    leakyrelu.nn.PReLU(),
    leakyrelu.nn.RReLU(inplace=True),
]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("module", MODULES, ids=lambda module: " ".join(repr(module).split()))
def test_a_module_is_drawn_in_evaluation_and_stays_as_it_is(module, dtype):
    module = copy.deepcopy(module).to(dtype).train()
    module[0].eval() if isinstance(module, nn.Sequential) else None
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = copy.deepcopy(module)
    random = torch.get_rng_state()
    with torch.no_grad():
        (label, (value, derivative)), *rest = drawn(leakyrelu.plot(module)).items()
    assert not rest
    assert label.startswith(type(module).__name__)
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in module.modules()] == [m.training for m in before.modules()]
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, before.state_dict()[name], rtol=0, atol=0)
    for parameter in module.parameters():
        assert torch.equal(parameter.grad, torch.ones_like(parameter))

    x, y = points(value)
    exact = before.eval().double()
    rough = 0.02 if dtype in (torch.float16, torch.bfloat16) else 1e-6
    with torch.no_grad():
        expected = exact(torch.tensor(x))
    np.testing.assert_allclose(y, expected, rtol=rough, atol=rough)
    x, y = points(derivative)
    leaf = torch.tensor(x, requires_grad=True)
    exact(leaf.clone()).sum().backward()
    np.testing.assert_allclose(y, leaf.grad, rtol=rough, atol=2 * rough)


def test_a_class_and_inference_mode():
    with torch.inference_mode():
        assert list(drawn(leakyrelu.plot([nn.Mish, nn.PReLU(), leakyrelu.nn.RReLU]))) == [
            "Mish()",
            "PReLU(num_parameters=1)",
            "RReLU(lower=0.125, upper=0.3333333333333333)",
        ]
    with pytest.raises(ValueError, match="Linear can't be made without arguments; give a module"):
        leakyrelu.plot(nn.Linear)


@pytest.mark.parametrize("layer", [nn.PReLU, leakyrelu.nn.PReLU])
def test_each_slope_of_a_prelu_is_a_curve(layer):
    module = layer(3)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.1, 0.25, -0.5]))
    curves = drawn(leakyrelu.plot(module))
    assert list(curves) == [f"PReLU(num_parameters=3)[{i}]" for i in range(3)]
    for slope, (value, derivative) in zip((0.1, 0.25, -0.5), curves.values(), strict=True):
        assert value[1][0] == pytest.approx(-4 * slope)
        assert derivative[1][0] == pytest.approx(slope)


def scalar_leaky(x):
    return x if x > 0 else 0.1 * x


def _hidden(x):
    return np.maximum(x, 0)


def in_place(x):
    x[x < 0] = 0
    return x


FUNCTIONS = [  # a function, its label, and itself and its derivative for a NumPy array
    (np.tanh, "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (math.tanh, "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (torch.tanh, "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (torch.Tensor.tanh, "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (jax.numpy.tanh, "tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    (math.exp, "exp", np.exp, np.exp),
    (leakyrelu.relu, "relu", lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    (jax.nn.relu, "relu", lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    (in_place, "in_place", lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    (_hidden, "_hidden", lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    (functional.gelu, "gelu", KINDS["gelu"].value, KINDS["gelu"].derivative),
    (
        functools.partial(jax.nn.gelu, approximate=False),
        "gelu(approximate=False)",
        KINDS["gelu"].value,
        KINDS["gelu"].derivative,
    ),
    (lambda x: x**3, "lambda", lambda x: x**3, lambda x: 3 * x**2),
    (lambda x: x > 0, "lambda", lambda x: 1.0 * (x > 0), np.zeros_like),
    (lambda x: (x > 0).float(), "lambda", lambda x: 1.0 * (x > 0), np.zeros_like),
    (lambda x: torch.as_tensor(x).abs(), "lambda", np.abs, lambda x: np.where(x > 0, 1.0, -1.0)),
    (lambda x: torch.tensor(x).float() * 2, "lambda", lambda x: 2 * x, lambda x: 0 * x + 2),
    (lambda x: x.astype(np.float32) * 2, "lambda", lambda x: 2 * x, lambda x: 0 * x + 2),
    (lambda x: 5 * x - 2, "lambda", lambda x: 5 * x - 2, lambda x: np.full_like(x, 5)),
    (
        functools.partial(leakyrelu.leaky_relu, negative_slope=0.2),
        "leaky_relu(negative_slope=0.2)",
        lambda x: np.where(x > 0, x, 0.2 * x),
        lambda x: np.where(x > 0, 1, 0.2),
    ),
    (
        functools.partial(np.maximum, 0),
        "maximum(0)",
        lambda x: np.maximum(x, 0),
        lambda x: 1.0 * (x > 0),
    ),
    (
        scalar_leaky,
        "scalar_leaky",
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda x: np.where(x > 0, 1, 0.1),
    ),
    (
        np.frompyfunc(scalar_leaky, 1, 1),
        "scalar_leaky (vectorized)",
        lambda x: np.where(x > 0, x, 0.1 * x),
        lambda x: np.where(x > 0, 1, 0.1),
    ),
]


@pytest.mark.parametrize("limit", [0.5, 4, 30])
@pytest.mark.parametrize(("function", "label", "value", "derivative"), FUNCTIONS)
def test_functions(function, label, value, derivative, limit):
    ((found, (curve, slope)),) = drawn(leakyrelu.plot(function, limit=limit)).items()
    assert found == label
    x, y = points(curve)
    assert (x[0], x[-1]) == (-limit, limit)
    np.testing.assert_allclose(y, value(x), rtol=1e-6, atol=1e-6 * np.abs(y).max())
    x, y = points(slope)
    assert x.size > 790
    # JAX computes in float32.
    rough = 2e-3 if "jax" in getattr(function, "__module__", "") or "gelu(" in label else 1e-5
    np.testing.assert_allclose(y, derivative(x), rtol=rough, atol=rough * max(1, np.abs(y).max()))


JUMPS = [  # a function, where it jumps, and where its derivative does
    (nn.Hardtanh(), [], [-1, 1]),
    (functional.hardtanh, [], [-1, 1]),
    (lambda x: np.clip(x, -1, 1), [], [-1, 1]),
    (jax.nn.relu6, [], [0, 6]),
    (nn.Hardshrink(0.37), [-0.37, 0.37], [-0.37, 0.37]),
    (nn.Threshold(0.1, 20), [0.1], [0.1]),
    (lambda x: np.where(x > 1 / 3, x, 0), [1 / 3], [1 / 3]),
    (lambda x: torch.where(x > 1 / 3, x, 0 * x), [1 / 3], [1 / 3]),
    (lambda x: np.clip(x, -np.pi, np.e), [], [-np.pi, np.e]),
    (np.sign, [0], []),
    (torch.sign, [0], []),
    (np.round, [-7.5, -6.5, -5.5, -4.5, -3.5, -2.5, -1.5, -0.5, *np.arange(0.5, 8)], []),
    (lambda x: 1 / x, [0], [0]),
    (np.tanh, [], []),
    (lambda x: np.tanh(1e5 * x), [], None),  # steep is not a jump
    (lambda x: torch.tanh(1e5 * x), [], []),
    (nn.Mish().bfloat16(), [], []),
    (nn.GELU(), [], []),
]


@pytest.mark.parametrize(("function", "in_value", "in_derivative"), JUMPS)
def test_the_line_breaks_where_the_function_jumps(function, in_value, in_derivative):
    ((value, derivative),) = drawn(leakyrelu.plot(function, limit=8)).values()
    assert breaks(value) == pytest.approx(in_value, abs=0.021)
    if in_derivative is not None:
        assert breaks(derivative) == pytest.approx(in_derivative, abs=0.021)


@pytest.mark.parametrize(
    "function", [np.log, torch.log, np.sqrt, torch.sqrt, np.arcsin, torch.asin, np.cbrt]
)
def test_what_is_not_finite_is_left_out(function):
    figure = leakyrelu.plot(function, limit=1)
    ((value, derivative),) = drawn(figure).values()
    x, y = points(value)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(y, getattr(np, function.__name__.replace("asin", "arcsin"))(x))
    assert points(derivative)[0].size > 390
    assert figure.axes[1].get_ylim()[1] < 500


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.Softmax(dim=0), r"Softmax\(dim=0\) is not elementwise"),
        (nn.Softmax(dim=1), r"Softmax\(dim=1\) can't be drawn"),
        (nn.GLU(), r"GLU\(dim=-1\) can't be drawn"),
        (nn.Linear(3, 3), r"Linear\(in_features=3, out_features=3, bias=True\) can't be drawn"),
        (nn.LayerNorm(801), "can't be drawn"),
        (nn.LSTM(1, 1), "can't be drawn"),
        (nn.Flatten(0), None),
        (nn.Unflatten(0, (3, 267)), r"is not elementwise: .* shape \(3, 267\)"),
        (jax.nn.softmax, "softmax is not elementwise"),
        (np.sort, "sort is not elementwise"),
        (np.flip, "flip is not elementwise"),
        (np.cumsum, "cumsum is not elementwise"),
        (np.sum, r"sum is not elementwise: for 801 numbers it returns an array of shape \(\)"),
        (lambda x: x / x.max(), "lambda is not elementwise"),
        (lambda x: x - x.mean(), "lambda is not elementwise"),
        (lambda x: (x + 1) / (x + 1).sum(), "lambda is not elementwise"),
        (functional.dropout, "dropout is not elementwise: .* or on chance"),
        (lambda x: np.random.default_rng().normal(size=x.shape), "or on chance"),
        (lambda x: x + 1j, "lambda returns complex numbers"),
        (lambda x: torch.complex(x, x), "lambda returns complex numbers"),
        (lambda x: None, "lambda returns NoneType, but must return real numbers"),
        (lambda x: "a", "lambda returns str"),
        (lambda x: 1 / 0, "lambda can't be drawn: .* ZeroDivisionError: division by zero"),
        (math.log, "log can't be drawn: .* math domain error"),
        (np.heaviside, "heaviside can't be drawn: .* positional arguments"),
        (lambda x: x.astype(np.float16), "lambda computes in 16 bits"),
        (lambda x: torch.tensor(x).bfloat16(), "lambda computes in 16 bits"),
        (lambda x: jax.numpy.asarray(x, "bfloat16"), "lambda computes in 16 bits"),
        (nn.Mish().half().to("meta"), None),
        (nn.PReLU(device="meta"), "PReLU.* returns Tensor, but must return real numbers"),
        (lambda x: 1 / x + x.max(), "lambda is not elementwise"),
        (lambda x: x * np.nan, "lambda is finite nowhere between -4 and 4"),
        (lambda x: np.exp(x * 1000), "lambda exceeds 1e\\+300, which can't be drawn; lower"),
    ],
)
def test_what_is_not_elementwise_is_refused(given, message):
    if message is None:  # it is, for these numbers
        leakyrelu.plot(given)
        return
    with pytest.raises(ValueError, match=message) as caught:
        leakyrelu.plot(["relu", given])
    assert "\n" not in str(caught.value)


def test_it_needs_no_torch():
    code = """
import sys
sys.modules.update(torch=None, pandas=None)
import numpy as np, leakyrelu
leakyrelu.plot(["relu", np.tanh, lambda x: x**3], "a.png")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert Path("a.png").is_file()


def test_labels_are_unique_and_duplicates_drawn_once():
    one, two = (lambda x: x), (lambda x: -x)
    module = nn.Mish()
    given = [one, two, one, module, nn.Mish(), module, "relu", "relu", "leaky_relu:0.10", "prelu"]
    labels = ["lambda", "lambda 2", "Mish()", "Mish() 2", "relu", "leaky_relu:0.1", "prelu"]
    assert list(drawn(leakyrelu.plot(given))) == labels
    assert list(drawn(leakyrelu.plot(iter(given)))) == labels


def test_a_dict_gives_the_labels():
    figure = leakyrelu.plot({"the $x^3": lambda x: x**3, "_mine": "relu", "two": nn.PReLU(2)})
    labels = ["the $x^3", "_mine", "two[0]", "two[1]"]
    assert list(drawn(figure)) == labels
    assert [line.get_label() for line in figure.axes[0].lines[:4]] == labels
    figure.savefig(io.BytesIO(), format="svg")


def test_the_legend_covers_no_curve_and_is_not_clipped():
    given = {f"a rather long name, number {i}": f"leaky_relu:{i / 20}" for i in range(15)}
    for figure in (None, Figure(figsize=(5, 3))):
        drawing = leakyrelu.plot(given if figure is None else "relu", figure=figure)
        drawing.savefig(io.BytesIO(), format="png")
        box = drawing.axes[0].get_legend().get_window_extent()
        assert box.y0 >= 0
        assert 0 <= box.x0 < box.x1 <= drawing.bbox.width
        for axes in drawing.axes:
            assert not box.overlaps(axes.get_tightbbox(bbox_extra_artists=[]))
            assert axes.bbox.height > 100
    lines = leakyrelu.plot(given).axes[0].lines[:15]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 15


def test_the_curves_are_seen_on_a_dark_page():
    with matplotlib.style.context("dark_background"):
        figure = leakyrelu.plot(list(KINDS))
    page = np.array(matplotlib.colors.to_rgb(figure.get_facecolor()))
    for line in figure.axes[0].lines:
        assert np.abs(matplotlib.colors.to_rgb(line.get_color()) - page).max() > 0.4


@pytest.mark.parametrize(
    "limit",
    [
        *(0, -0.0, -1, 5e-324, 1e-308, 9e-281, 1.1e300, 1e308, sys.float_info.max, np.nan, np.inf),
        *(10**400, "4", b"4", None, [4], 1j),
    ],
)
def test_bad_limit(limit):
    with pytest.raises(
        ValueError, match=r"positive number from 1e-280 to 1e\+300, but is "
    ) as caught:
        leakyrelu.plot("relu", limit=limit)
    assert len(str(caught.value)) < 120


EXTREMES = [1e-280, 1e-200, 1e-155, 1e-20, 1e-3, 39.0, 1e3, 1e8, 1e154, 1e155, 1e160, 1e300]
LIMITS = st.sampled_from(EXTREMES) | st.floats(1e-280, 1e300)


def checked_picture(given, limit):
    """Draw it without a warning; the axes must show all of it, and not much more."""
    figure = leakyrelu.plot(given, limit=limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(io.BytesIO(), format="png", dpi=40)
    ((value, derivative),) = drawn(figure).values()
    for axes, line in zip(figure.axes, (value, derivative), strict=True):
        x, y = points(line)
        assert (x[0], x[-1]) == (-limit, limit)
        assert axes.get_xlim() == pytest.approx((-1.1 * limit, 1.1 * limit), rel=1e-9, abs=0)
        bottom, top = axes.get_ylim()
        assert bottom <= y.min() <= y.max() <= top
        # Below that matplotlib takes a range for empty.
        assert top - bottom < 4 * np.abs(y).max() or np.abs(y).max() < 1e-290
    return points(value), points(derivative)


@settings(deadline=None, max_examples=30)
@hypothesis.given(st.sampled_from(list(KINDS)), LIMITS)
def test_every_limit_is_drawn_right(name, limit):
    try:
        (x, y), (u, slopes) = checked_picture(name, limit)
    except ValueError:  # squares leave the range of numbers
        assert name in ("relu2", "leaky_relu2")
        assert not 1e-140 < limit < 1e140
        return
    module = parse(name).module().double().eval()
    leaf = torch.tensor(u, requires_grad=True)
    (expected,) = torch.autograd.grad(module(leaf).sum(), leaf)
    known = ~expected.isnan().numpy()  # PyTorch's of a GELU by tanh is not, from 1e154 on
    np.testing.assert_allclose(slopes[known], expected[known], rtol=1e-7, atol=1e-12)
    expected = module(torch.tensor(x)).detach()
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12 * min(1, limit))


def of_tanh(x):
    return np.tanh(x), 1 / np.cosh(np.clip(x, -300, 300)) ** 2


def of_relu(x):
    return np.maximum(x, 0), 1.0 * (x > 0)


FAMILIES = [
    (np.tanh, of_tanh),
    (math.tanh, of_tanh),
    (torch.tanh, of_tanh),
    (nn.Tanh(), of_tanh),
    (nn.PReLU(init=0), of_relu),
    (jax.nn.relu, of_relu),
    (np.exp, lambda x: (np.exp(x), np.exp(x))),
]


@settings(deadline=None, max_examples=30)
@hypothesis.given(st.sampled_from(FAMILIES), LIMITS)
def test_functions_at_every_limit_are_drawn_right_or_refused(family, limit):
    function, formula = family
    try:
        (x, y), (u, slopes) = checked_picture(function, limit)
    except ValueError as error:
        message = str(error)
    else:
        near = 2e-3 * np.abs(y).max()
        np.testing.assert_allclose(y, formula(x)[0], rtol=1e-6, atol=near)
        near = np.abs(u) > limit / 200  # nearer to 0 a steep one's is that of a pixel
        np.testing.assert_allclose(slopes[near], formula(u)[1][near], rtol=2e-3, atol=2e-3)
        return
    assert re.search("(raise|lower) the limit|limit must be from", message)
    assert not 1e-12 < limit < 300


def test_an_own_figure_is_drawn_in():
    figure = Figure()
    assert leakyrelu.plot("relu", figure=figure) is figure
    assert len(figure.axes) == 2


@pytest.mark.parametrize("given", [Figure().subplots(), Figure().subfigures(), "figure"])
def test_what_is_no_figure(given):
    with pytest.raises(
        TypeError, match=f"matplotlib.figure.Figure, but is a {type(given).__name__}"
    ):
        leakyrelu.plot("relu", figure=given)


@pytest.mark.parametrize("given", ["relo", 3, np.sum])
def test_an_own_figure_stays_empty_if_nothing_can_be_drawn(given):
    figure = Figure()
    with pytest.raises((ValueError, TypeError)):
        leakyrelu.plot(given, figure=figure)
    assert not figure.axes


def test_a_notebook_shows_the_figure():
    assert leakyrelu.plot("relu")._repr_png_().startswith(b"\x89PNG")
