"""Which tensors are plain memory: a pass knows where its numbers begin, and no more."""

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


# What PyTorch dispatches plain tensors by, in inference mode and outside. All others have a key
# more: zeros that take no memory, views that are negated or conjugated when they are read, what
# the transforms of torch.func wrap, fake, sparse and nested tensors, subclasses that dispatch.
_PLAIN = frozenset(
    keys
    for device in ("CPU", "CUDA")
    for keys in (
        _keys(device, f"Autocast{device}"),
        _keys(device, f"Autocast{device}", f"Autograd{device}", "ADInplaceOrView"),
    )
)


def is_plain(tensor: Tensor) -> bool:
    """Say whether a tensor is memory of the CPU or a GPU that is read as it stands."""
    return torch._C._dispatch_keys(tensor).raw_repr() in _PLAIN


def addresses(device: int, dtype: torch.dtype, each: Sequence[tuple[Tensor, int]]) -> list[int]:
    """Return where tensors begin in memory; from there on each has so many elements of `dtype`.

    The device is a number of a GPU, or -1 for the CPU.

    Raises
    ------
    RuntimeError
        If a tensor has not: its storage was freed, or it is of a kind that has no memory.
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
