"""The functions on NumPy arrays against what people use instead, and against copying.

python benchmarks/functions.py [--quick]

Each number of threads gets a process of its own, in which all contestants alternate. Writes
the tables to the terminal and the figure to functions.svg beside this file.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import harness

THREADS = (1, 2)
SLOPE = 0.01
PEERS = ["np.maximum(a*x, x)", "np.where", "numexpr", "Numba", "PyTorch", "JAX", "ONNX Runtime"]
EXPRESSION = "where(x > 0, x, a * x)"
COPIES = ["copy, memcpy", "copy, streaming"]
Calls = dict[str, Callable[[], object]]


def environment(threads: int) -> dict[str, str]:
    """Return the variables that hold every contestant to so many threads."""
    names = ["OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    limits = dict.fromkeys(names, str(threads))
    if threads == 1:  # else it has one for each processor
        limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **limits, "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}


def build_copies() -> ctypes.CDLL:
    """Compile copy.cpp for this processor."""
    source = Path(__file__).with_name("copy.cpp")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "copy.so"
        flags = ["-O3", "-march=native", "-fopenmp", "-shared", "-fPIC"]
        subprocess.run(["g++", *flags, str(source), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))


class Contestants:
    """Makes the calls to be compared, for one number of threads."""

    def __init__(self, threads: int) -> None:
        import numba
        import torch

        self.threads = threads
        self.copies = build_copies()
        torch.set_num_threads(threads)
        signatures = ["float32(float32, float32)", "float64(float64, float64)"]
        # Its parallel target takes 0.1 ms at least, so for small arrays one takes the other.
        self.numba, self.numba_of_large = (
            numba.vectorize(signatures, target=target)(lambda x, a: x if x > 0 else a * x)
            for target in ("cpu", "parallel" if threads > 1 else "cpu")
        )

    def onnx(self, x, out) -> Callable[[], object]:
        import onnxruntime
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(x.dtype)
        ends = [helper.make_tensor_value_info(name, kind, x.shape) for name in "xy"]
        node = helper.make_node("LeakyRelu", ["x"], ["y"], alpha=SLOPE)
        graph = helper.make_graph([node], "leaky_relu", ends[:1], ends[1:])
        opset = [helper.make_opsetid("", 16)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        if out is None:
            return lambda: session.run(None, {"x": x})[0]
        binding = session.io_binding()
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, x.dtype, x.shape, out.ctypes.data)

        def run():
            session.run_with_iobinding(binding)
            return out

        return run

    def leaky_relu(self, x, with_out: bool) -> Calls:
        """Ours first, then the peers that know the dtype, then plain copies."""
        import jax
        import numexpr
        import numpy as np
        import torch

        from leakyrelu import leaky_relu

        tensor = torch.from_numpy(x)
        a = x.dtype.type(SLOPE)
        is_half = x.dtype == np.float16
        with_numba = self.numba if x.size < 10**6 else self.numba_of_large
        if not with_out:
            device_array = jax.device_put(x)
            jitted = jax.jit(lambda x: jax.nn.leaky_relu(x, SLOPE))
            calls: Calls = {
                "leakyrelu": lambda: leaky_relu(x, SLOPE),
                "np.maximum(a*x, x)": lambda: np.maximum(SLOPE * x, x),
                "np.where": lambda: np.where(x > 0, x, SLOPE * x),
                "PyTorch": lambda: torch.nn.functional.leaky_relu(tensor, SLOPE),
                "JAX": lambda: jitted(device_array).block_until_ready(),
                "ONNX Runtime": self.onnx(x, None),
            }
            if not is_half:
                calls["numexpr"] = lambda: numexpr.evaluate(EXPRESSION, {"x": x, "a": a})
                calls["Numba"] = lambda: with_numba(x, a)
            return calls
        out = np.empty_like(x)
        tensor_out = torch.empty_like(tensor)

        def maximum():
            np.multiply(x, SLOPE, out=out)
            return np.maximum(out, x, out=out)

        calls = {
            "leakyrelu": lambda: leaky_relu(x, SLOPE, out=out),
            "np.maximum(a*x, x)": maximum,
            "PyTorch": lambda: torch.ops.aten.leaky_relu.out(tensor, SLOPE, out=tensor_out),
            "ONNX Runtime": self.onnx(x, out),
        }
        if not is_half:
            calls["numexpr"] = lambda: numexpr.evaluate(EXPRESSION, {"x": x, "a": a}, out=out)
            calls["Numba"] = lambda: with_numba(x, a, out)
        for name, copy in zip(
            COPIES, (self.copies.copy_by_memcpy, self.copies.copy_streaming), strict=True
        ):
            copied = aligned_empty(x)
            arguments = (
                ctypes.c_void_p(copied.ctypes.data),
                ctypes.c_void_p(x.ctypes.data),
                ctypes.c_ssize_t(x.nbytes),
                ctypes.c_int(self.threads),
            )
            calls[name] = lambda c=copy, args=arguments, out=copied: (c(*args), out)[1]
        return calls

    def family(self, x) -> dict[str, Calls]:
        """Return the other members, each beside its peer in NumPy and in PyTorch."""
        import numpy as np
        import torch

        import leakyrelu

        out, image_out = np.empty_like(x), None
        tensor = torch.from_numpy(x)
        tensor_out, gradient = torch.empty_like(tensor), tensor.flip(0).contiguous()
        rows = max(1, x.size // (64 * 28 * 28))
        image = np.resize(x, (rows, 64, 28, 28)) if x.size >= 64 * 28 * 28 else x.reshape(-1, 10)
        weight = np.linspace(0, 1, image.shape[1], dtype=x.dtype)
        image_out = np.empty_like(image)
        images, weights = torch.from_numpy(image), torch.from_numpy(weight)
        along = weight.reshape((-1,) + (1,) * (image.ndim - 2))
        backward = torch.ops.aten.leaky_relu_backward.grad_input

        def prelu_in_numpy():
            np.multiply(image, along, out=image_out)
            np.copyto(image_out, image, where=image > 0)
            return image_out

        return {
            "relu": {
                "leakyrelu": lambda: leakyrelu.relu(x, out=out),
                "NumPy": lambda: np.maximum(x, 0, out=out),
                "PyTorch": lambda: torch.ops.aten.relu.out(tensor, out=tensor_out),
            },
            "leaky_relu, in place": {
                "leakyrelu": lambda: leakyrelu.leaky_relu(out, 1.0, out=out),
                "PyTorch": lambda: torch.nn.functional.leaky_relu_(tensor_out, 1.0),
            },
            "leaky_relu_backward": {
                "leakyrelu": lambda: leakyrelu.leaky_relu_backward(
                    gradient.numpy(), x, SLOPE, out=out
                ),
                "NumPy": lambda: np.multiply(gradient.numpy(), np.where(x > 0, 1, SLOPE), out=out),
                "PyTorch": lambda: backward(gradient, tensor, SLOPE, False, grad_input=tensor_out),
            },
            "prelu": {
                "leakyrelu": lambda: leakyrelu.prelu(image, weight, out=image_out),
                "NumPy": prelu_in_numpy,
                "PyTorch": lambda: torch.prelu(images, weights),
            },
        }


def aligned_empty(x):
    """Return an empty array like x that starts on a cache line."""
    import numpy as np

    memory = np.empty(x.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + x.nbytes].view(x.dtype)


def check(calls: Calls, name: str) -> None:
    """Every contestant computes the same."""
    import numpy as np

    expected = np.array(calls["leakyrelu"](), copy=True)
    for peer, call in calls.items():
        if peer not in COPIES:
            found = np.asarray(call()).reshape(expected.shape)
            # PyTorch and ONNX Runtime do not round the slope to float16.
            relative, absolute = (1e-2, 1e-7) if expected.dtype == np.float16 else (1e-6, 0)
            np.testing.assert_allclose(
                found, expected, relative, absolute, err_msg=f"{name}: {peer}"
            )


def measure(threads: int, quick: bool) -> list[dict]:
    """Return a record for each dtype, size and way of output."""
    import numpy as np

    contestants = Contestants(threads)
    rng = np.random.default_rng(0)
    pool = rng.standard_normal(1_000_003)
    records = []
    sizes = [1, 1000, 100_000] if quick else [10**power for power in range(9)]
    for dtype in ("float32",) if quick else ("float16", "float32", "float64"):
        for size in sizes:
            x = np.resize(pool, size).astype(dtype)
            rounds = 5 if quick or size >= 10**8 else 7
            cases = {
                ("leaky_relu", "new array"): contestants.leaky_relu(x, False),
                ("leaky_relu", "out="): contestants.leaky_relu(x, True),
            }
            if size in (1000, 100_000, 10_000_000):
                family = contestants.family(x)
                cases |= {(function, "out="): calls for function, calls in family.items()}
            for (function, output), calls in cases.items():
                name = f"{function}, {dtype}, {size:.0e}, {output}, {threads} threads"
                print(name, file=sys.stderr)
                check(calls, name)
                timings = harness.compare(calls, rounds)
                records.append(
                    {
                        "function": function,
                        "dtype": dtype,
                        "size": size,
                        "output": output,
                        "threads": threads,
                        "seconds": {peer: t.seconds for peer, t in timings.items()},
                        "ratio": {peer: t.ratio for peer, t in timings.items()},
                    }
                )
    return records


def table_of_leaky_relu(records: list[dict], dtype: str) -> str:
    """Return a row for each size, number of threads and way of output."""
    columns = ["elements, threads, output", "leakyrelu", *PEERS, "fastest copy"]
    rows = []
    for record in records:
        if record["function"] != "leaky_relu" or record["dtype"] != dtype:
            continue
        ratio = record["ratio"]
        copies = [ratio[name] for name in COPIES if name in ratio]
        rows.append(
            [
                f"{record['size']:.0e}, {record['threads']}, {record['output']}",
                harness.duration(record["seconds"]["leakyrelu"]),
                *(f"{ratio[peer]:.2f}" if peer in ratio else "" for peer in PEERS),
                f"{min(copies):.2f}" if copies else "",
            ]
        )
    return harness.table(columns, rows)


def table_of_family(records: list[dict]) -> str:
    """Return a row for each other member of the family."""
    rows = []
    for record in records:
        if record["function"] != "leaky_relu":
            ratio = record["ratio"]
            what = [record["function"], record["dtype"], f"{record['size']:.0e}"]
            rows.append(
                [
                    ", ".join([*what, str(record["threads"])]),
                    harness.duration(record["seconds"]["leakyrelu"]),
                    *(
                        f"{ratio[peer]:.2f}" if peer in ratio else ""
                        for peer in ("NumPy", "PyTorch")
                    ),
                ]
            )
    return harness.table(
        ["function, dtype, elements, threads", "leakyrelu", "NumPy", "PyTorch"], rows
    )


def draw(records: list[dict], path: Path) -> None:
    """Time an element by number of elements, both axes logarithmic."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    colors = [
        "#0072B2",
        "#D55E00",
        "#009E73",
        "#CC79A7",
        "#56B4E9",
        "#E69F00",
        "#7F7F7F",
        "#A0522D",
    ]
    markers = "osD^vPX<"
    for axes, threads in zip(panels, THREADS, strict=True):
        chosen = [
            r
            for r in records
            if (r["function"], r["dtype"], r["threads"]) == ("leaky_relu", "float32", threads)
        ]
        fresh = [r for r in chosen if r["output"] == "new array"]
        sizes = [r["size"] for r in fresh]
        for name, color, marker in zip(["leakyrelu", *PEERS], colors, markers, strict=True):
            times = [r["seconds"][name] / r["size"] * 1e9 for r in fresh]
            width = 2.6 if name == "leakyrelu" else 1.3
            axes.loglog(sizes, times, color=color, marker=marker, ms=4, lw=width, label=name)
        reused = [r for r in chosen if r["output"] == "out="]
        ours = [r["seconds"]["leakyrelu"] / r["size"] * 1e9 for r in reused]
        axes.loglog(sizes, ours, color=colors[0], ls="--", lw=1.8, label="leakyrelu, out=")
        copies = [min(r["seconds"][c] for c in COPIES) / r["size"] * 1e9 for r in reused]
        axes.loglog(sizes, copies, color="black", ls=":", lw=1.8, label="fastest copy")
        axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}")
        axes.set_xlabel("elements (float32)")
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("time an element (ns)")
    panels[1].legend(frameon=False, fontsize=8)
    with matplotlib.rc_context({"svg.hashsalt": "leakyrelu", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Measure in processes of their own, then print and draw."""
    quick = "--quick" in sys.argv
    if "--threads" in sys.argv:
        threads = int(sys.argv[sys.argv.index("--threads") + 1])
        print(json.dumps(measure(threads, quick)))
        return
    records = []
    for threads in THREADS:
        command = [sys.executable, __file__, "--threads", str(threads)] + ["--quick"] * quick
        done = subprocess.run(
            command, env=environment(threads), stdout=subprocess.PIPE, text=True, check=True
        )
        records += json.loads(done.stdout.splitlines()[-1])
    packages = ["leakyrelu", "numpy", "numexpr", "numba", "torch", "jax", "onnxruntime"]
    print(harness.header(packages))
    for dtype in dict.fromkeys(record["dtype"] for record in records):
        print(f"### leaky_relu, {dtype}\n")
        print(table_of_leaky_relu(records, dtype))
    print("### The rest of the family, out=\n")
    print(table_of_family(records))
    draw(records, Path(__file__).with_suffix(".svg"))


if __name__ == "__main__":
    main()
