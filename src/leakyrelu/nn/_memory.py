"""Which tensors are plain memory: a pass gets the address of the numbers and nothing else."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["addresses", "is_plain"]


def _keys(*names: str) -> int:
    sets = (torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, name)) for name in names)
    return functools.reduce(operator.or_, sets).raw_repr()


# The dispatch keys of plain tensors, in inference mode and outside. All others have another key:
# zeros that take no memory, views that are negated or conjugated when read, wrappers of the
# transforms of torch.func, fake, sparse and nested tensors, and subclasses that dispatch.
_PLAIN = frozenset(
    keys
    for device in ("CPU", "CUDA")
    for keys in (
        _keys(device, f"Autocast{device}"),
        _keys(device, f"Autocast{device}", f"Autograd{device}", "ADInplaceOrView"),
    )
)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is memory of the CPU or a GPU that can be read as it is."""
    return torch._C._dispatch_keys(tensor).raw_repr() in _PLAIN


def addresses(device: int, dtype: torch.dtype, each: Sequence[tuple[Tensor, int]]) -> list[int]:
    """Return the addresses of tensors, each with its number of elements of `dtype` from there.

    The device is the number of a GPU, or -1 for the CPU.

    Raises
    ------
    RuntimeError
        If a tensor has fewer: its storage was freed, or it is of a kind without memory.
    """
    itemsize, found = dtype.itemsize, []
    for tensor, elements in each:
        address, before = tensor.data_ptr(), tensor.storage_offset() * itemsize
        if elements and not (
            tensor.dtype is dtype
            and tensor.get_device() == device
            and address > before  # else the storage begins nowhere
            and before + elements * itemsize <= tensor.untyped_storage().nbytes()
        ):
            raise RuntimeError(
                f"PReLU and RReLU need {elements} numbers of {dtype} in the memory of "
                f"{'the CPU' if device < 0 else f'GPU {device}'}, but not all are in a tensor of "
                f"shape {tuple(tensor.shape)}, {tensor.dtype}, {tensor.device}; was its storage "
                "freed or resized before backward?"
            )
        found.append(address)
    return found
