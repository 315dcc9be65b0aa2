"""The compiled core: loads the NumPy ufuncs that the C++ files beside this one define."""

import os

__all__ = ["ufuncs"]

# How long OpenMP's threads spin for more work before they sleep: about 100 µs. GNU's default of
# 5 ms (or a thousand times that) would steal time from the threads of NumPy's matrix products, and
# none at all would cost a wake-up per call: see benchmarks/README.md. OpenMP reads this when it is
# loaded. A setting of the user's is respected, and PyTorch has an OpenMP of its own.
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
