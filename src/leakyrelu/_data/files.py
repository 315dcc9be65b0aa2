"""Files: arrays are read from them, and they are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from leakyrelu._errors import InputError

__all__ = ["check_file", "read_arrays", "refuse_address", "replacing"]


def refuse_address(spec: str) -> None:
    """Refuse an address on the internet, or of a store, where a path or a name is expected."""
    if "://" in spec:
        raise InputError(f"data {spec!r} is an address; download the file and give its path")


def read_arrays(
    file: Path | BinaryIO, alone: Sequence[str] = ()
) -> np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]:
    """Read the array of a .npy file, or the named ones of a .npz file.

    Parameters
    ----------
    file : Path or file
    alone : sequence of str, optional
        If there are arrays of these names, only they are read.

    Raises
    ------
    InputError
        If the file is none of these, or has Python objects in it.
    """
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            names = [name for name in found if name in alone] or list(found)
            return {name: found[name] for name in names}
    except Exception as error:  # of NumPy, which advises to trust the file, or of zipfile
        raise InputError(
            "it has no arrays of numbers or texts, as numpy.save and numpy.savez write them"
        ) from error


def check_file(path: Path, endings: Sequence[str]) -> None:
    """Refuse what can't be written, or is of something else, before work is done for it."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path} should end in {', '.join(endings[:-1])} or {endings[-1]}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} can't be written: there is no directory {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):  # it could be replaced nevertheless
        raise PermissionError(f"{path} can't be written: it is read-only")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write to, which takes the place of `path` when it is whole.

    Raises
    ------
    OSError
        If it can't be written; what was there before is kept.
    """
    target = path.resolve()  # a link stays one
    part = target.with_name(f".{os.getpid()}{target.suffix}")  # of a length that any name may have
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        told = error.strerror or str(error).replace(str(part), str(path))
        raise OSError(f"{path} can't be written: {told}") from error
    finally:
        with suppress(OSError):  # where nothing can be written, nothing can be taken away
            part.unlink(missing_ok=True)
