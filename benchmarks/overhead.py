"""What a call on next to nothing costs, and the import.

python benchmarks/overhead.py [--quick]
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

import harness
import numpy as np

import leakyrelu

IMPORT = """
import time
import numpy
start = time.perf_counter()
import leakyrelu
print(time.perf_counter() - start)
"""


def calls() -> list[list[str]]:
    """Return rows of call, time, that of np.maximum(x, 0), and the difference."""
    x = np.linspace(-1, 1, 16)
    square, weight = x.reshape(4, 4), np.full(4, 0.1)
    numbers = [float(number) for number in x]
    members = {
        "relu(x)": lambda: leakyrelu.relu(x),
        "leaky_relu(x, 0.01)": lambda: leakyrelu.leaky_relu(x, 0.01),
        "leaky_relu_derivative(x, 0.01)": lambda: leakyrelu.leaky_relu_derivative(x, 0.01),
        "leaky_relu_backward(x, x, 0.01)": lambda: leakyrelu.leaky_relu_backward(x, x, 0.01),
        "rrelu(x)": lambda: leakyrelu.rrelu(x),
        "prelu(x, 0.01)": lambda: leakyrelu.prelu(x, 0.01),
        "prelu(x of 4 x 4, 4 slopes)": lambda: leakyrelu.prelu(square, weight),
    }
    rows = []
    for name, call in members.items():
        rows.append(row(name, call, lambda: np.maximum(x, 0)))
    rows.append(
        row("leaky_relu(-3.0)", lambda: leakyrelu.leaky_relu(-3.0), lambda: np.maximum(-3.0, 0))
    )
    rows.append(
        row(
            "leaky_relu(list of 16)",
            lambda: leakyrelu.leaky_relu(numbers),
            lambda: np.maximum(numbers, 0),
        )
    )
    return rows


def row(name, call, peer) -> list[str]:
    timings = harness.compare({"ours": call, "peer": peer}, 11)
    ours, theirs = timings["ours"].seconds, timings["peer"].seconds
    return [name, *(f"{seconds * 1e9:,.0f} ns" for seconds in (ours, theirs, ours - theirs))]


def main() -> None:
    """Print the table of calls, then the time of the import."""
    print(harness.header(["leakyrelu", "numpy"]))
    columns = ["16 float64 elements, if nothing else is said", "time", "np.maximum(x, 0)", "more"]
    print(harness.table(columns, calls()))
    runs = 3 if "--quick" in sys.argv else 21
    seconds = [
        float(
            subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True).stdout
        )
        for _ in range(runs)
    ]
    print(f"`import leakyrelu` after `import numpy`: {median(seconds) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
