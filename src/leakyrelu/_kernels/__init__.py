"""The compiled core: loads the NumPy ufuncs that the C++ files beside this one define."""

import os

__all__ = ["ufuncs"]

# How long OpenMP's threads wait for more work, spinning, before they sleep: some 100 µs. GNU's
# 5 ms, or a thousand times that, would be taken from NumPy's matrix products, whose threads are
# others; none at all would cost a wake-up at each call: see benchmarks/README.md. OpenMP reads
# it when it is loaded. A setting of the user's stands, and PyTorch has another OpenMP.
_WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "2000"}

_sets_waiting = os.environ.keys().isdisjoint(_WAITING)
if _sets_waiting:
    os.environ.update(_WAITING)
try:
    from leakyrelu._kernels import ufuncs
finally:
    if _sets_waiting:
        for _name in _WAITING:
            del os.environ[_name]
