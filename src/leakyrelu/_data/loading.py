"""The user's model, checkpoint and data, as named on the command line."""

from __future__ import annotations

import difflib
import importlib
import os
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from leakyrelu._data.files import is_name, read_arrays, refuse_address
from leakyrelu._errors import InputError

__all__ = ["called", "load_batches", "load_checkpoint", "load_model", "load_object"]


def load_object(spec: str) -> Any:
    """Return what ``module:name`` names; modules in the current directory are found too."""
    module_name, _, path = spec.partition(":")
    if not module_name or not path:
        raise InputError(f"{spec!r} should be module:name, such as my_package.models:make_model")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise InputError(
            f"module {module_name!r} of {spec!r} can't be imported: {_told(error)}"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            nearest = difflib.get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise InputError(f"module {module_name!r} has no {name!r}{hint}")
        found = getattr(found, name)
    return found


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def called(function: Callable[[], Any], name: str) -> Any:
    """Call a function of the user; whatever it raises becomes an InputError."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise InputError(f"{name} failed: {_told(error)}") from error


def _made(spec: str) -> Any:
    """Return the object, or what it makes if it is a factory."""
    found = load_object(spec)
    if isinstance(found, (nn.Module, Tensor)) or not callable(found):
        return found
    return called(found, f"{spec}()")


def load_model(spec: str) -> nn.Module:
    """Return the model that ``module:factory`` makes, or ``module:model`` itself."""
    model = _made(spec)
    if not isinstance(model, nn.Module):
        raise InputError(f"{spec} is a {type(model).__name__}, but should be a torch.nn.Module")
    return model


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Load weights that `torch.save` wrote, of the model or of a whole training run.

    Or those of a .safetensors file. The file may be the state dict itself, or have it as ``model``,
    ``state_dict`` or ``model_state_dict``; a prefix ``module.`` or ``_orig_mod.`` is removed. Only
    tensors and plain values are read; no code is run.
    """
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_tensors(path)
    for name in ("model", "state_dict", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
            break
    if not isinstance(state, dict):
        raise InputError(f"{path} contains a {type(state).__name__}, but should be a state dict")
    for prefix in ("module.", "_orig_mod."):
        consume_prefix_in_state_dict_if_present(state, prefix)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise InputError(f"the weights in {path} don't fit the model: {told}") from error


def load_batches(spec: str) -> Any:
    """Return a tensor of examples, or batches of them.

    These come from a file: .npy; .npz with one array, or one named x or X; .pt; or a table with
    columns of numbers, as `leakyrelu._data.reading.read_table` reads it. Or from ``module:name`` of
    a tensor or array, of batches such as a DataLoader's, or of a function that returns one of
    these.
    """
    data = _made(spec) if is_name(spec) else _read(spec)
    if isinstance(data, np.ndarray):
        if data.dtype.newbyteorder("=") == np.float64:  # NumPy's default, but few models take it
            data = data.astype(np.float32)
        data = data.astype(data.dtype.newbyteorder("="), copy=False)  # PyTorch takes no other
        data = torch.from_numpy(np.ascontiguousarray(data))
    is_iterable = hasattr(data, "__iter__") or hasattr(data, "__getitem__")
    if not is_iterable or isinstance(data, (str, Mapping)):
        raise InputError(
            f"{spec} is a {type(data).__name__}, but should be a tensor of examples, or batches of "
            "them"
        )
    return data


def _read(spec: str) -> Any:
    refuse_address(spec)
    path, ending = Path(spec), Path(spec).suffix.lower()
    if ending in (".npy", ".npz"):
        return _read_array(path)
    return _read_tensors(path) if ending in (".pt", ".pth") else _read_table(path)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")


def _read_tensors(path: Path) -> Any:
    _check_exists(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise InputError(
            f"{path} can't be read as tensors and plain values written by torch.save; save the "
            "state_dict(), not the model itself"
        ) from error


def _read_safetensors(path: Path) -> Any:
    _check_exists(path)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise InputError(f"to read {path}, install safetensors: pip install safetensors") from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} can't be read as a .safetensors file: {error}") from error


def _read_array(path: Path) -> np.ndarray[Any, Any]:
    _check_exists(path)
    try:
        found = read_arrays(path, alone=("x", "X"))
    except InputError as error:
        raise InputError(f"{path} can't be read: {error}") from error
    if isinstance(found, np.ndarray):
        return found
    if len(found) != 1:
        raise InputError(
            f"{path} has the arrays {', '.join(found)}; call the one with the examples x"
        )
    return next(iter(found.values()))


def _read_table(path: Path) -> np.ndarray[Any, Any]:
    from leakyrelu._data.columns import decimal_mark, understand
    from leakyrelu._data.reading import READERS, endings, read_table

    if not path.exists() and not {*READERS, ".zip"} & set(endings(path)):
        raise InputError(
            f"data {str(path)!r} should be module:name, or end in .npy, .npz, .pt, "
            f"{', '.join(READERS)}"
        )
    table = read_table(path)
    mark = decimal_mark(table.frame, table.separator)
    columns = [(str(name), understand(column, mark)) for name, column in table.frame.items()]
    if others := [name for name, c in columns if c.kind == "text" or c.is_time]:
        raise InputError(f"{path} has columns that are not numbers: {', '.join(others)}")
    values = [c.values.to_numpy(dtype=np.float32, na_value=np.nan) for _, c in columns]
    return np.stack(values, axis=1)
