"""The picture: what is drawn, where it is written, what is refused."""

import pytest

import leakyrelu


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
    figure = leakyrelu.plot(list(leakyrelu.activations.KINDS))
    lines = figure.axes[0].get_legend().get_lines()
    assert len({str(line._dash_pattern) for line in lines}) == len(lines)
    assert len({line.get_color() for line in lines}) == len(lines)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_file(tmp_path, ending):
    path = tmp_path / f"picture.{ending}"
    leakyrelu.plot("relu", path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)


def test_the_same_picture_gives_the_same_file(tmp_path):
    for name in ("one.svg", "two.svg"):
        leakyrelu.plot(["relu", "gelu"], tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["relo"],), "did you mean 'relu'"),
        (([],), "no activation given"),
        (("relu", "picture.docx"), "should end in one of"),
        (("relu", "picture"), "should end in one of"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        leakyrelu.plot(*arguments)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_bad_limit(limit):
    with pytest.raises(ValueError, match="limit must be a positive number"):
        leakyrelu.plot("relu", limit=limit)


def test_an_own_figure_is_drawn_in():
    from matplotlib.figure import Figure

    figure = Figure()
    assert leakyrelu.plot("relu", figure=figure) is figure
    assert len(figure.axes) == 2


def test_a_notebook_shows_the_figure():
    assert leakyrelu.plot("relu")._repr_png_().startswith(b"\x89PNG")
