"""leaky_relu on NumPy arrays against what people write instead.

python benchmarks/functions.py [--quick]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import harness
import numpy as np
import torch

from leakyrelu import leaky_relu

SLOPE = 0.01


def contestants(x: np.ndarray, with_out: bool) -> dict[str, Callable[[], object]]:
    """Return ours first; the tensor shares the memory of x."""
    tensor = torch.from_numpy(x)
    if not with_out:
        return {
            "leakyrelu": lambda: leaky_relu(x, SLOPE),
            "np.maximum(a*x, x)": lambda: np.maximum(SLOPE * x, x),
            "np.where": lambda: np.where(x > 0, x, SLOPE * x),
            "torch": lambda: torch.nn.functional.leaky_relu(tensor, SLOPE),
        }
    out = np.empty_like(x)
    tensor_out = torch.empty_like(tensor)

    def maximum() -> np.ndarray:
        np.multiply(x, SLOPE, out=out)
        return np.maximum(out, x, out=out)

    return {
        "leakyrelu": lambda: leaky_relu(x, SLOPE, out=out),
        "np.maximum(a*x, x)": maximum,
        "torch": lambda: torch.ops.aten.leaky_relu.out(tensor, SLOPE, out=tensor_out),
    }


def main() -> None:
    """Print the table."""
    quick = "--quick" in sys.argv
    rng = np.random.default_rng(0)
    rows = []
    for dtype in (np.float32, np.float64):
        for size in (1, 1000, 100_000) if quick else (1, 1000, 100_000, 10_000_000):
            for with_out in (False, True):
                x = rng.standard_normal(size).astype(dtype)
                calls = contestants(x, with_out)
                expected = np.where(x > 0, x, dtype(SLOPE) * x)
                for name, call in calls.items():
                    np.testing.assert_array_equal(np.asarray(call()), expected, name)
                timings = harness.compare(calls, rounds=5 if quick else 31)
                ours = timings.pop("leakyrelu")
                cells = [f"{t.ratio:.2f} ({t.low:.2f}-{t.high:.2f})" for t in timings.values()]
                if with_out:
                    cells.insert(1, "")
                what = f"{np.dtype(dtype).name}, {size:.0e}{', out=' if with_out else ''}"
                rows.append([what, harness.duration(ours.seconds), *cells])
    print(harness.header(["leakyrelu", "numpy", "torch"]))
    print(f"torch uses {torch.get_num_threads()} threads.\n")
    columns = ["array", "leakyrelu", "np.maximum(a*x, x)", "np.where", "torch"]
    print(harness.table(columns, rows))


if __name__ == "__main__":
    main()
