"""Reads a folder of images, one sub-folder per class, into arrays."""

from __future__ import annotations

import mimetypes
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from leakyrelu._compare.data.table_task import TWO_PARTS
from leakyrelu._compare.memory import available_memory
from leakyrelu._errors import InputError

__all__ = ["Images", "read_images", "tracked"]

# Folders of these names are parts of a split, not classes.
PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
GREY = {"1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N"}  # modes of Pillow
DEEP = ("I", "F")  # 32-bit modes: the range of their values is unknown
SIDEWAYS = 5  # EXIF orientations from here on turn an image by 90 degrees
MEMORY_SHARE = 0.25  # of this machine's memory, for the images
NAMED = 5

T = TypeVar("T")


@dataclass
class Images:
    """Images of one size, and the decisions made in reading them."""

    X: npt.NDArray[np.uint8]  # (examples, channels, height, width); one channel if all are grey
    y: npt.NDArray[np.int64]
    classes: list[str]
    notes: list[str]


def read_images(directory: Path, bytes_a_value: int = 1, progress: bool = False) -> Images:
    """Read a folder of images: its sub-folders, sorted by name, are the classes.

    Images may be nested deeper; hidden files are skipped. Images of different sizes are all resized
    to the median width and height. They must fit into memory, where each pixel value finally takes
    `bytes_a_value`.
    """
    classes = _classes(directory)
    found: list[tuple[Path, int, tuple[int, int], str]] = []
    others: list[str] = []
    files = [(path, i) for i, name in enumerate(classes) for path in _files(directory / name)]
    for path, label in tracked(files, "looking at images", progress):
        if header := _header(path):
            found.append((path, label, *header))
        else:
            others.append(str(path))
    counts = Counter(label for _, label, _, _ in found)
    for label, name in enumerate(classes):
        if not counts[label]:
            raise InputError(
                f"{directory / name} has no images; each sub-folder is a class and needs some (for "
                "a table, give the path of its file)"
            )
    named = [f"{name} ({counts[label]:,})" for label, name in enumerate(classes)]
    notes = [f"Classes are the sub-folders: {_some(named)}."]
    if others:
        notes.append(f"Skipped, not images: {_some(others)}.")
    paths, labels, sizes, modes = zip(*found, strict=True)
    width, height = (median_low(side) for side in zip(*sizes, strict=True))
    if len(different := sorted(set(sizes))) > 1:
        first, *_, last = (f"{wide} x {high}" for wide, high in different)
        notes.append(
            f"The images have {len(different):,} sizes, from {first} to {last}; all were resized "
            f"to {width} x {height} (width x height)."
        )
    channels = 1 if GREY.issuperset(modes) else 3
    shape = len(found), channels, height, width
    _check_memory(directory, shape, bytes_a_value)
    X = np.empty(shape, np.uint8)
    told: Counter[str] = Counter()
    is_grey = True
    for i, path in enumerate(tracked(paths, "reading images", progress)):
        pixels, decided = _read(path, (width, height))
        told.update(decided)
        is_grey &= pixels.ndim == 2
        X[i] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    if is_grey and channels == 3:  # palettes that hold greys only
        X = X[:, :1].copy()
    notes += [f"{what} ({number:,} of {len(X):,})." for what, number in told.items()]
    return Images(X, np.array(labels, np.int64), classes, notes)


def _classes(directory: Path) -> list[str]:
    """Return the names of the sub-folders; raise if they can't be classes."""
    names = _folders(directory)
    parts = [name for name in names if name.lower() in PARTS]
    if len(parts) > 1:
        listed = " and ".join(f"{part}/" for part in parts)
        raise InputError(f"{directory} has {listed}: {TWO_PARTS}")
    if not names:
        raise InputError(
            f"{directory} has no sub-folders; a folder of images needs one per class, such as "
            f"{directory / 'cat'} (for a table, give the path of its file)"
        )
    if len(names) == 1:
        inner = directory / names[0]
        hint = f"; are the classes in {inner}?" if len(_folders(inner)) > 1 else ""
        raise InputError(
            f"{directory} has only one sub-folder, {names[0]!r}, but a folder of images needs one "
            f"per class, and at least two{hint}"
        )
    return names


def _folders(directory: Path) -> list[str]:
    return sorted(e.name for e in os.scandir(directory) if e.is_dir() and not _is_hidden(e.name))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # in archives made on macOS


def _files(directory: Path) -> list[Path]:
    """Return all files inside a folder; links are followed, but never in a cycle."""

    def fail(error: OSError) -> None:
        raise error

    found: list[Path] = []
    seen: set[str] = set()
    for folder, inner, names in os.walk(directory, onerror=fail, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not _is_hidden(name))
        found += [Path(folder, name) for name in sorted(names) if not _is_hidden(name)]
    return found


def tracked(things: Sequence[T], what: str, progress: bool) -> Iterable[T]:
    """Iterate with a progress bar, unless the output is a log."""
    console = Console(stderr=True)
    is_shown = progress and (console.is_terminal or console.is_jupyter)
    return track(things, what, console=console, transient=True, disable=not is_shown)


def _header(path: Path) -> tuple[tuple[int, int], str] | None:
    """Return an image's size when upright, and its mode; None if the file is not an image."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            # A TIFF's size is the upright one already; a PNG without EXIF at its start would have
            # to be read to the end to find it.
            can_tell = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
            turn = image.getexif().get(ExifTags.Base.Orientation, 1) if can_tell else 1
            return (height, width) if turn >= SIDEWAYS else (width, height), image.mode
    except UnidentifiedImageError as error:
        if not str(mimetypes.guess_type(path.name)[0]).startswith("image/"):
            return None
        raise InputError(_broken(path, "it is damaged or in an unknown format")) from error
    except Exception as error:  # Pillow raises errors of any type for a damaged file
        raise InputError(_broken(path, error)) from error


def _read(path: Path, size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Return an image's pixels, (height, width) or (height, width, 3), and decisions made."""
    try:
        with Image.open(path) as opened:
            is_sequence = getattr(opened, "is_animated", False) and opened.format != "MPO"
            image = ImageOps.exif_transpose(opened)
            image, decided = _plain(image)
    except Exception as error:  # as above
        raise InputError(_broken(path, error)) from error
    if is_sequence:
        decided.append("Only the first frame or page of multi-image files was used")
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image), decided


def _plain(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """Convert an image to mode L or RGB, with a white background where it is transparent."""
    decided = []
    if image.mode in DEEP:
        raise InputError(f"it has 32-bit values (mode {image.mode}) of unknown range")
    is_grey, has_palette = image.mode in GREY, image.mode in ("P", "PA")
    if image.mode.startswith("I;16"):
        decided.append("16-bit images were reduced to their upper 8 bits")
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            decided.append("Transparent images were put on a white background")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB" if has_palette or not is_grey else "L")
    if has_palette:
        red, green, blue = image.split()
        is_grey = red.tobytes() == green.tobytes() == blue.tobytes()
    return (image.convert("L") if is_grey else image), decided


def _broken(path: Path, why: Any) -> str:
    told = " ".join(str(why).split()) or type(why).__name__
    return f"{path} can't be read as an image: {told}; fix it or remove it from the folder"


def _check_memory(directory: Path, shape: tuple[int, ...], bytes_a_value: int) -> None:
    needed = int(np.prod(shape, dtype=float)) * bytes_a_value
    memory = available_memory()
    if needed > MEMORY_SHARE * memory:
        number, channels, height, width = shape
        raise InputError(
            f"{directory} has {number:,} images of {channels} x {height} x {width}, which take "
            f"{needed / 2**30:,.1f} GiB, more than a quarter of this machine's memory "
            f"({memory / 2**30:,.1f} GiB); make the images smaller, or give a model and a data set "
            "that loads them on demand"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
