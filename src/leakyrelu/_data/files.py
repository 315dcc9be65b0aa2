"""Files: reading arrays, and writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from leakyrelu._errors import InputError

__all__ = ["check_file", "is_name", "read_arrays", "refuse_address", "replacing"]


def is_name(spec: str) -> bool:
    """Whether `spec` is the ``module:name`` of a Python object, not a path or an address."""
    module, _, name = spec.partition(":")
    parts = [*module.split("."), *name.split(".")]
    return all(part.isidentifier() for part in parts) and not Path(spec).exists()


def refuse_address(spec: str) -> None:
    """Refuse a URL where a path or a name is expected."""
    if "://" in spec:
        raise InputError(f"data {spec!r} is an address; download the file and give its path")


def read_arrays(
    file: Path | BinaryIO, alone: Sequence[str] = ()
) -> np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]:
    """Read the array in a .npy file, or the named arrays in a .npz file.

    If there are arrays of the names in `alone`, only these are read.
    """
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            names = [name for name in found if name in alone] or list(found)
            return {name: found[name] for name in names}
    except Exception as error:  # NumPy's would advise to trust the file
        raise InputError(
            "it has no arrays of numbers or text, as numpy.save and numpy.savez write them"
        ) from error


def check_file(path: Path, endings: Sequence[str]) -> None:
    """Refuse a path that can't be written to, or has another ending, before any work is done."""
    if path.suffix.lower() not in endings:
        raise InputError(f"{path} should end in {', '.join(endings[:-1])} or {endings[-1]}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; name a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path} can't be written: there is no directory {path.parent}")
    if path.exists() and not os.access(path, os.W_OK):  # replacing it would still work
        raise PermissionError(f"{path} can't be written: it is read-only")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; the file then replaces `path`.

    Raises
    ------
    OSError
        If it can't be written; an existing file is kept.
    """
    target = path.resolve()  # a link stays a link
    part = target.with_name(f".{os.getpid()}{target.suffix}")  # no longer than any name may be
    try:
        yield part
        os.replace(part, target)
    except OSError as error:
        told = error.strerror or str(error).replace(str(part), str(path))
        raise OSError(f"{path} can't be written: {told}") from error
    finally:
        with suppress(OSError):  # not where nothing can be written
            part.unlink(missing_ok=True)
