"""Folders of images, read as torchvision's ImageFolder reads them, or refused in one sentence."""

import os
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import leakyrelu
from leakyrelu._cli import app
from leakyrelu._compare.data import images
from leakyrelu._compare.data.images import read_images
from leakyrelu._compare.data.table_task import TOO_RARE
from leakyrelu._compare.data.tensor_task import make_task
from leakyrelu._compare.memory import available_memory

RNG = np.random.default_rng(0)
LOSSLESS = ("png", "bmp", "tiff", "webp", "ppm")
ORIENTATION = 0x0112


def noise(height=6, width=5, channels=3):
    return RNG.integers(0, 256, (height, width, channels)[: 2 + (channels > 1)], np.uint8)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    picture.save(path, **options)
    return path


def fill(folder, counts=(12, 12), **shape):
    """Make a folder of images of classes a, b, ..., and return the pixels of each class."""
    every = {name: [noise(**shape) for _ in range(n)] for name, n in zip("abcdef", counts)}  # noqa: B905
    for name, pictures in every.items():
        for i, pixels in enumerate(pictures):
            save(folder / name / f"{i:02}.png", pixels)
    return every


def task_of(folder, is_table=False, **given):
    defaults = {"target": None, "kind": None, "loss": None, "metric": None}
    return make_task(folder, **{**defaults, **given}, is_table=is_table)


def as_image_folder(folder):
    """Return what torchvision's ImageFolder gives: its loop over folders, with Pillow and NumPy."""
    classes = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    items = []
    for label, name in enumerate(classes):
        for root, _, files in sorted(os.walk(folder / name, followlinks=True)):
            for file in sorted(files):
                with open(os.path.join(root, file), "rb") as opened:
                    image = Image.open(opened).convert("RGB")
                items.append((np.asarray(image).transpose(2, 0, 1), label))
    return classes, items


@pytest.mark.parametrize("ending", [*LOSSLESS, "jpg", "gif"])
def test_as_torchvision_reads_them(tmp_path, ending):
    for name in ("dog", "Cat", "10", "9"):
        for i in range(6):
            place = tmp_path / name / ("", "deep", "deep/er")[i % 3]
            options = {"lossless": True} if ending == "webp" else {}
            save(place / f"{i}.{ending}", noise(), **options)
    classes, items = as_image_folder(tmp_path)
    found = read_images(tmp_path)
    assert found.classes == classes == ["10", "9", "Cat", "dog"]
    assert found.X.dtype == np.uint8
    assert found.y.tolist() == [label for _, label in items]
    assert np.array_equal(found.X, np.stack([pixels for pixels, _ in items]))
    assert found.notes == ["Classes are the sub-folders: 10 (6), 9 (6), Cat (6), dog (6)."]


def test_networks_get_bytes_as_those_of_arrays(tmp_path):
    every = fill(tmp_path / "photos", (10, 20, 30))
    X = np.stack([pixels.transpose(2, 0, 1) for each in every.values() for pixels in each])
    y = np.repeat([0, 1, 2], (10, 20, 30))
    for data in (tmp_path / "photos", f"{tmp_path}/photos/"):
        task = task_of(data)
        same = task_of((X, y))
        assert np.array_equal(task.X, same.X)
        assert np.array_equal(task.y, same.y)
        assert (task.name, task.classes, task.baseline) == ("photos", ["a", "b", "c"], 0.5)
        assert (task.info.description, task.is_table) == ("inputs of 3 x 6 x 5, 3 classes", False)
        assert "float32 from 0 to 255" in task.notes[-1]


def test_without_a_model_pixels_are_features(tmp_path):
    fill(tmp_path / "photos", channels=1)
    task = task_of(tmp_path / "photos", is_table=True)
    assert task.info.description == "30 features, 2 classes"
    assert (task.X.dtype, task.is_table) == (np.float32, True)
    assert np.array_equal(task.X, task_of(tmp_path / "photos").X.reshape(24, 30))


GREYS = {
    "L": noise(channels=1),
    "1": Image.fromarray(noise(channels=1)).convert("1"),
    "LA": Image.fromarray(noise(channels=1)).convert("LA"),
    "P": Image.fromarray(noise(channels=1)).convert("P"),
    "16 bits": Image.fromarray(RNG.integers(0, 65536, (6, 5), np.uint16)),
}


@pytest.mark.parametrize("mode", GREYS)
def test_greys_have_one_channel_unless_others_are_coloured(tmp_path, mode):
    every = fill(tmp_path, channels=1)
    path = save(tmp_path / "a" / "00.png", GREYS[mode])
    with Image.open(path) as image:
        pixels = np.asarray(image)
    if mode == "16 bits":
        expected = (pixels // 256).astype(np.uint8)
    elif mode == "1":
        expected = 255 * pixels.astype(np.uint8)
    elif mode == "LA":
        expected = pixels[..., 0]
    else:
        expected = noise_of_palette(path) if mode == "P" else pixels
    found = read_images(tmp_path)
    assert found.X.shape == (24, 1, 6, 5)
    assert np.array_equal(found.X[0, 0], expected)
    assert np.array_equal(found.X[1:12, 0], every["a"][1:])
    colour = noise()
    save(tmp_path / "b" / "00.png", colour)
    found = read_images(tmp_path)
    assert np.array_equal(found.X[0], np.stack([expected] * 3))
    assert np.array_equal(found.X[12], colour.transpose(2, 0, 1))


def noise_of_palette(path):
    with Image.open(path) as image:
        colours = np.array(image.getpalette()).reshape(-1, 3)[np.asarray(image)]
    assert (colours == colours[..., :1]).all()
    return colours[..., 0]


def test_colours_of_palettes(tmp_path):
    fill(tmp_path, channels=1)
    drawn = Image.fromarray(noise()).quantize(7)
    save(tmp_path / "a" / "00.png", drawn)
    expected = np.asarray(drawn.convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(read_images(tmp_path).X[0], expected)


def test_inks_become_red_green_and_blue(tmp_path):
    fill(tmp_path)
    cyan, magenta, yellow, black = (noise(channels=1) for _ in range(4))
    inks = np.stack([cyan, magenta, yellow, black], 2)
    save(tmp_path / "a" / "00.tiff", Image.fromarray(inks, "CMYK"))
    expected = (1 - inks[..., :3] / 255) * (1 - inks[..., 3:] / 255) * 255
    got = read_images(tmp_path).X[1].transpose(1, 2, 0)  # behind 00.png
    assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("ending", ["png", "webp", "tiff"])
def test_what_is_transparent_is_white(tmp_path, ending):
    fill(tmp_path)
    pixels = noise(channels=4)
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    (tmp_path / "a" / "00.png").unlink()
    save(tmp_path / "a" / f"00.{ending}", pixels, **options)
    alpha = pixels[..., 3:] / 255
    expected = alpha * pixels[..., :3] + (1 - alpha) * 255
    found = read_images(tmp_path)
    assert np.abs(found.X[0].transpose(1, 2, 0) - expected).max() <= 1
    assert "Transparent images were put on a white background (1 of 24)." in found.notes
    pixels[..., 3] = 255
    save(tmp_path / "a" / f"00.{ending}", pixels, **options)
    found = read_images(tmp_path)
    assert np.array_equal(found.X[0].transpose(1, 2, 0), pixels[..., :3])
    assert len(found.notes) == 1


@pytest.mark.parametrize("ending", ["png", "tiff", "webp", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path, ending, orientation):
    turns = {  # EXIF 2.3, 4.6.4: where row 0 and column 0 of what is stored are seen
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a),
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    for i in range(20):
        stored = noise()
        path = save(tmp_path / "ab"[i % 2] / f"{i:02}.{ending}", stored, exif=exif, **options)
    if ending == "jpg":  # which is lossy
        with Image.open(path) as image:
            stored = np.asarray(image)
    expected = turns[orientation](stored)
    found = read_images(tmp_path)
    assert np.array_equal(found.X[-1].transpose(1, 2, 0), expected)
    assert len(found.notes) == 1  # all have one size, and it is the upright one


def test_several_sizes_become_one(tmp_path):
    for i, (height, width) in enumerate([(8, 6)] * 14 + [(16, 12), (4, 3)] * 3):
        save(tmp_path / "ab"[i % 2] / f"{i:02}.png", np.full((height, width, 3), 10 * i, np.uint8))
    found = read_images(tmp_path)
    assert found.X.shape == (20, 3, 8, 6)
    for place, image in enumerate(found.X):
        assert set(image.ravel().tolist()) == {10 * (2 * place if place < 10 else 2 * place - 19)}
    assert found.notes[1] == (
        "The images have 3 sizes, from 3 x 4 to 12 x 16; all were resized to 6 x 8 (width x "
        "height)."
    )
    fill(tmp_path / "more", (20, 20), height=16, width=16)
    large = save(tmp_path / "more" / "a" / "00.png", noise(32, 32))
    with Image.open(large) as image:  # twice as large: each pixel is of a window of 4 x 4
        pixels = np.asarray(image).astype(float)
    weights = np.array([1, 3, 3, 1]) / 8
    padded = pixels[1:-1, 1:-1]
    inner = sum(
        weights[i] * weights[j] * padded[i : i + 28 : 2, j : j + 28 : 2][:14, :14]
        for i in range(4)
        for j in range(4)
    )
    got = read_images(tmp_path / "more").X[0].transpose(1, 2, 0)
    assert np.abs(got[1:-1, 1:-1] - inner).max() <= 1


def test_the_first_of_several_images_is_taken(tmp_path):
    fill(tmp_path)
    frames = [Image.fromarray(noise()) for _ in range(3)]
    save(tmp_path / "a" / "20.tiff", frames[0], save_all=True, append_images=frames[1:])
    found = read_images(tmp_path)
    assert np.array_equal(found.X[12].transpose(1, 2, 0), np.asarray(frames[0]))
    assert "Only the first frame or page of multi-image files was used (1 of 25)" in found.notes[-1]


def test_what_is_hidden_or_no_image_is_left_out(tmp_path):
    fill(tmp_path)
    (tmp_path / "labels.csv").write_text("a,b\n")
    (tmp_path / "a" / ".DS_Store").write_text("x")
    (tmp_path / ".git" / "a").mkdir(parents=True)
    (tmp_path / "__MACOSX").mkdir()
    save(tmp_path / "a" / ".thumbnails" / "0.png", noise())
    before = read_images(tmp_path)
    assert (before.X.shape, len(before.notes)) == ((24, 3, 6, 5), 1)
    for i in range(7):
        (tmp_path / "b" / f"{i}.txt").write_text("what is in it")
    (tmp_path / "b" / "deep").mkdir()
    (tmp_path / "b" / "deep" / "circle").symlink_to(tmp_path / "b")
    found = read_images(tmp_path)
    assert np.array_equal(found.X, before.X)
    names = ", ".join(str(tmp_path / "b" / f"{i}.txt") for i in range(5))
    assert found.notes[1] == f"Skipped, not images: {names} and 2 more."


def test_links_are_followed(tmp_path):
    fill(tmp_path / "there")
    (tmp_path / "here").mkdir()
    for name in "ab":
        (tmp_path / "here" / name).symlink_to(tmp_path / "there" / name)
    assert np.array_equal(read_images(tmp_path / "here").X, read_images(tmp_path / "there").X)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.jpg", b"no image"),
        ("empty.png", b""),
        ("drawing.svg", b"<svg/>"),
        ("deep.tiff", np.ones((6, 5), np.float32)),
        ("deeper.tiff", np.ones((6, 5), np.int32)),
        *((f"half.{ending}", ending) for ending in ("png", "jpg", "bmp", "tiff", "webp", "gif")),
    ],
)
def test_files_that_are_broken_are_named(tmp_path, name, content):
    fill(tmp_path)
    broken = tmp_path / "b" / "deep" / name
    broken.parent.mkdir()
    if isinstance(content, bytes):
        broken.write_bytes(content)
    else:
        save(broken, noise(40, 40) if isinstance(content, str) else content)
        if isinstance(content, str):
            broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(ValueError, match="can't be read as an image: ") as raised:
        read_images(tmp_path)
    assert str(broken) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_folders_that_are_no_classes_are_refused(tmp_path):
    def names(*folders):
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
        return tmp_path / folders[0].split("/")[0]

    fill(tmp_path / "full")
    fill(tmp_path / "wrapped" / "photos")
    fill(tmp_path / "one", (30,))
    fill(tmp_path / "gap")
    (tmp_path / "gap" / "c" / "deep").mkdir(parents=True)
    (tmp_path / "gap" / "c" / "notes.txt").write_text("none yet")
    fill(tmp_path / "few", (3, 4))
    save(tmp_path / "flat" / "0.png", noise())
    splits = "train and a test part, but splits can't be given"
    for folder, given, message in (
        (names("none"), {}, "none has no sub-folders"),
        (tmp_path / "flat", {}, "flat has no sub-folders"),
        (tmp_path / "one", {}, "has only one sub-folder, 'a', .*at least two$"),
        (tmp_path / "wrapped", {}, "are the classes in .*wrapped/photos?"),
        (tmp_path / "gap", {}, "gap/c has no images"),
        (tmp_path / "few", {}, "7 examples are too few"),
        (names("s1/train", "s1/val"), {}, f"s1 has train/ and val/: .*{splits}"),
        (names("s2/Train", "s2/Test", "s2/valid"), {}, splits),
        (names("s3/train", "s3/test", "s3/labels"), {}, splits),
        (tmp_path / "full", {"target": "a"}, "target and drop are for tables, but .*full"),
        (tmp_path / "full", {"drop": ["a"]}, "target and drop are for tables, but .*full"),
        (tmp_path / "full", {"kind": "regression"}, "'regression', but the sub-folders of"),
    ):
        for is_table in (True, False):
            with pytest.raises(ValueError, match=message) as raised:
                task_of(folder, is_table, **given)
            assert len(str(raised.value).splitlines()) == 1


def test_too_large_for_the_memory(tmp_path, monkeypatch):
    fill(tmp_path)
    memory = available_memory()
    monkeypatch.setattr(images, "MEMORY_SHARE", 24 * 90 / memory)
    assert task_of(tmp_path).X.nbytes == 24 * 90
    with pytest.raises(ValueError, match=r"24 images of 3 x 6 x 5, which take .* memory"):
        task_of(tmp_path, is_table=True)  # as float32
    save(tmp_path / "a" / "more.png", noise())
    with pytest.raises(ValueError, match=r"25 images of 3 x 6 x 5, which take .* memory"):
        task_of(tmp_path)


def test_an_experiment_is_of_pixels_and_classes(tmp_path):
    fill(tmp_path)

    def known():
        return [task_of(tmp_path, is_table).fingerprint for is_table in (True, False)]

    before = known()
    for path in tmp_path.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    assert known() == before
    (tmp_path / "b").rename(tmp_path / "c")
    renamed = known()
    assert not set(renamed) & set(before)
    (tmp_path / "c").rename(tmp_path / "b")
    pixels = np.array(Image.open(tmp_path / "b" / "11.png"))
    pixels[3, 2, 1] ^= 1
    save(tmp_path / "b" / "11.png", pixels)
    assert not set(known()) & {*before, *renamed}


def test_classes_named_by_numbers(tmp_path):
    fill(tmp_path)
    found = []
    for names in ("01", "12", "ab"):
        for old, new in zip(sorted(p.name for p in tmp_path.iterdir()), names, strict=True):
            (tmp_path / old).rename(tmp_path / f"x{new}")
        for new in names:
            (tmp_path / f"x{new}").rename(tmp_path / new)
        found.append(task_of(tmp_path).fingerprint)
    assert len(set(found)) == 3


def test_images_that_are_alike_stay_in_one_part_and_rare_classes_are_told(tmp_path):
    every = fill(tmp_path, (20, 20, 2))
    save(tmp_path / "a" / "again.png", every["a"][0])
    task = task_of(tmp_path)
    assert any("2 of 43 examples have duplicate inputs" in note for note in task.notes)
    assert TOO_RARE in task.notes
    assert task.groups is not None
    assert Counter(task.groups.tolist()).most_common(1)[0][1] == 2


def make_net():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 2)
    )


def test_compare_takes_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "photos", (20, 20))
    given = {"activations": ["relu", "elu"], "seeds": 2, "epochs": 1, "lr": 0.01, "progress": False}
    for data in ("photos", "photos/", tmp_path / "photos"):
        result = leakyrelu.compare(make_net, data, output="own", **given)
        assert result.task.name == "photos"
    assert len(result.histories()) == 4  # all of one experiment
    result = leakyrelu.compare(data=lambda: "photos", depth=2, width=4, output="plain", **given)
    assert result.task.description == "90 features, 2 classes"
    options = ["--activations", "relu,elu", "--seeds", "2", "--epochs", "1", "--lr", "0.01"]
    done = CliRunner().invoke(app, ["compare", "--data", "photos/", "--depth", "2", *options])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("photos: 40 examples")
    assert "Classes are the sub-folders: a (20), b (20)." in done.stdout
    done = CliRunner().invoke(app, ["compare", "--data", "photos/a"])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
