"""When threads pay, how they should wait, and when stores past the caches pay.

python benchmarks/threads.py [--quick]

Each way of waiting gets a process of its own, several times in turns.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from statistics import median

import harness
from functions import build_copies

WAYS = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "2, as set": {},
    "2, asleep at once": {"OMP_WAIT_POLICY": "passive"},
    "2, spinning on": {"OMP_WAIT_POLICY": "active"},
}
SIZES = [2**power for power in range(14, 24)]
ROWS = [64, 256, 1024, 4096]
COPIED = [2**power for power in range(21, 29)]


def seconds(call, wanted: float = 0.05) -> float:
    """Median time of a call, made again and again for as long as wanted."""
    call()
    samples = []
    stop = time.perf_counter() + wanted
    while len(samples) < 5 or time.perf_counter() < stop:
        start = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start)
    return median(samples)


def measure() -> dict[str, dict[int, float]]:
    """Time calls by size, and layers of matrix product and activation by rows."""
    import numpy as np

    from leakyrelu import leaky_relu

    rng = np.random.default_rng(0)
    calls, layers, products = {}, {}, {}
    for size in SIZES:
        x = rng.standard_normal(size).astype(np.float32)
        out = np.empty_like(x)
        calls[size] = seconds(lambda x=x, out=out: leaky_relu(x, out=out))
    weight = rng.standard_normal((1024, 1024)).astype(np.float32) / 32
    for rows in ROWS:
        x = rng.standard_normal((rows, 1024)).astype(np.float32)
        z, out = np.empty_like(x), np.empty_like(x)

        def product(x=x, z=z):
            np.matmul(x, weight, out=z)

        def layer(z=z, out=out, product=product):
            product()
            leaky_relu(z, out=out)

        products[rows], layers[rows] = seconds(product, 0.3), seconds(layer, 0.3)
    return {"calls": calls, "layers": layers, "products": products}


def copies() -> list[list[str]]:
    """Return rows of bytes, time of memcpy, and its ratio to a copy past the caches."""
    import numpy as np

    library = build_copies()
    rows = []
    for size in COPIED:
        source, target = np.zeros(size + 64, np.uint8), np.zeros(size + 64, np.uint8)
        starts = [ctypes.c_void_p(a.ctypes.data + -a.ctypes.data % 64) for a in (target, source)]
        arguments = (*starts, ctypes.c_ssize_t(size), ctypes.c_int(2))
        timings = harness.compare(
            {
                "streaming": lambda a=arguments: library.copy_streaming(*a),
                "memcpy": lambda a=arguments: library.copy_by_memcpy(*a),
            }
        )
        memcpy = timings["memcpy"]
        rows.append(
            [
                f"{size >> 20} MiB",
                harness.duration(memcpy.seconds),
                f"{memcpy.ratio:.2f} ({memcpy.low:.2f}-{memcpy.high:.2f})",
            ]
        )
    return rows


def main() -> None:
    """Measure each way in processes of its own and print the tables."""
    if "--child" in sys.argv:
        print(json.dumps(measure()))
        return
    found = {way: [] for way in WAYS}
    for _ in range(1 if "--quick" in sys.argv else 5):
        for way, settings in WAYS.items():
            environment = (
                os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"} | settings
            )
            done = subprocess.run(
                [sys.executable, __file__, "--child"],
                env=environment,
                stdout=subprocess.PIPE,
                check=True,
            )
            found[way].append(json.loads(done.stdout))

    def times(way: str, what: str, key: int) -> str:
        return harness.duration(median(run[what][str(key)] for run in found[way]))

    print(harness.header(["leakyrelu", "numpy"]))
    print("Calls of leaky_relu, float32, out=, one after the other:\n")
    rows = [[f"{size:,}", *(times(way, "calls", size) for way in WAYS)] for size in SIZES]
    print(harness.table(["elements", *WAYS], rows))
    print("`np.matmul` (two threads of OpenBLAS) of rows x 1024 by 1024 x 1024, then leaky_relu:\n")
    rows = [
        [f"{n:,}", times("1 thread", "products", n), *(times(way, "layers", n) for way in WAYS)]
        for n in ROWS
    ]
    print(harness.table(["rows", "np.matmul alone", *WAYS], rows))
    print("Copies by two threads; memcpy's time, and over that with streaming stores:\n")
    print(harness.table(["copied", "memcpy", "memcpy / streaming"], copies()))


if __name__ == "__main__":
    main()
