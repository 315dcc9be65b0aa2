"""Threads, forks, processes, smaller instruction sets: each in an interpreter of its own."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from leakyrelu import leaky_relu

on_linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
has_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def run(code, **environment):
    """Run in a fresh interpreter; a hang is a failure."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


USE = """
import os, sys
import numpy as np
from leakyrelu import leaky_relu

x = np.random.default_rng(0).standard_normal(1_000_000)
expected = np.where(x > 0, x, 0.01 * x)

def works(_=None):
    return bool(np.array_equal(leaky_relu(x), expected))

def tasks():
    return len(os.listdir("/proc/self/task"))
"""


@on_linux
@pytest.mark.parametrize("threads", [1, 3])
def test_omp_num_threads_is_obeyed(threads):
    code = USE + "before = tasks(); assert works(); print(tasks() - before)"
    assert int(run(code, OMP_NUM_THREADS=str(threads))) == threads - 1


def test_threadpoolctl_sees_and_sets_the_threads():
    code = (
        USE
        + """
from threadpoolctl import threadpool_info, threadpool_limits
count = lambda: [p["num_threads"] for p in threadpool_info() if p["user_api"] == "openmp"]
print(count())
with threadpool_limits(1):
    print(count())
    before = tasks()
    assert works() and tasks() == before
"""
    )
    assert run(code, OMP_NUM_THREADS="2").split() == ["[2]", "[1]"]


@has_fork
@pytest.mark.parametrize("used_before", [True, False])
def test_fork(used_before):
    """GNU's OpenMP would wait forever for threads that did not come along."""
    code = (
        USE
        + f"""
if {used_before}:
    assert works()
for _ in range(3):
    child = os.fork()
    if child == 0:
        ok = works()
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if works() else 1)
        os._exit(0 if ok and os.waitpid(grandchild, 0)[1] == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert works()
"""
    )
    run(code, OMP_NUM_THREADS="2")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, tmp_path):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    script = tmp_path / "script.py"
    script.write_text(
        USE
        + f"""
if __name__ == "__main__":
    import multiprocessing
    assert works()
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        assert all(pool.map(works, range(4)))
    assert works()
"""
    )
    run(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", OMP_NUM_THREADS="2")


def test_many_python_threads_at_once():
    x = np.random.default_rng(0).standard_normal(400_000).astype(np.float32)
    slopes = np.linspace(-1, 1, 40)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda a: leaky_relu(x, float(a)), slopes))
    for a, result in zip(slopes, results, strict=True):
        np.testing.assert_array_equal(result, np.where(x > 0, x, np.float32(a) * x))


@on_linux
def test_another_thread_runs_meanwhile():
    """The interpreter's lock is released: a signal of the other thread ends a wait in time."""
    code = """
import threading, time
import numpy as np
from leakyrelu import leaky_relu
x = np.zeros(30_000_000)
out = np.empty_like(x)
ticks = []
done = threading.Event()
def work():
    for _ in range(20):
        leaky_relu(x, 0.1, out=out)
    done.set()
thread = threading.Thread(target=work)
thread.start()
while not done.is_set():
    ticks.append(None)
    time.sleep(0.001)
thread.join()
print(len(ticks))
"""
    # With the lock held throughout, the counting thread would get a turn between calls only.
    assert int(run(code, OMP_NUM_THREADS="1")) > 60


FINGERPRINT = """
import hashlib
import numpy as np
from leakyrelu import leaky_relu, leaky_relu_backward, leaky_relu_derivative, prelu, relu
from leakyrelu._kernels import ufuncs

rng = np.random.default_rng(0)
digest = hashlib.sha256()
for dtype, bits in ((np.float16, np.uint16), (np.float32, np.uint32), (np.float64, np.uint64)):
    with np.errstate(all="ignore"):
        for step in (1, 2, -1):
            top = np.iinfo(bits).max
            x, g = (rng.integers(0, top, 70_001, bits, True).view(dtype)[::step] for _ in range(2))
            a = rng.uniform(-1, 1, x.size).astype(dtype)
            for result in (
                leaky_relu(x, 0.3), leaky_relu(x, a), leaky_relu_derivative(x, 0.3), relu(x),
                leaky_relu_backward(g, x, 0.3), leaky_relu_backward(g, x, a),
                prelu(np.resize(x, (700, 100, 5)), a[:100]),
            ):
                result[np.isnan(result)] = np.nan  # which NaN is nobody's business
                digest.update(np.ascontiguousarray(result).tobytes())
print(ufuncs.instruction_set, digest.hexdigest())
"""


def test_all_instruction_sets_give_the_same_bits():
    best, expected = run(FINGERPRINT).split()
    sets = ["baseline", "avx2", "avx512"]
    for name in sets[: sets.index(best)]:
        assert run(FINGERPRINT, LEAKYRELU_INSTRUCTION_SET=name).split() == [name, expected]


def test_importing_leaves_the_environment_as_it_was():
    """How OpenMP's threads wait is set for this package's own, and for nobody else's."""
    show = "import os; before = dict(os.environ); import leakyrelu; print(os.environ == before)"
    assert run(show).strip() == "True"
    assert run(show, OMP_WAIT_POLICY="active").strip() == "True"


@on_linux
def test_pytorch_keeps_an_openmp_of_its_own():
    """Of two libraries of one name only the first is loaded, with its settings for both."""
    pytest.importorskip("torch")
    show = "import leakyrelu, torch; print(open('/proc/self/maps').read())"
    libraries = {Path(line.split()[-1]) for line in run(show).splitlines() if "libgomp" in line}
    assert {library.parent.name for library in libraries} == {"_kernels", "lib"}


@pytest.mark.parametrize(
    ("given", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")]
)
def test_idle_threads_sleep(given, policy):
    """NumPy's matrix products need the processors; a setting of the user's stands."""
    show = "import os; os.dup2(1, 2); import leakyrelu"  # OpenMP displays on stderr
    output = run(show, OMP_DISPLAY_ENV="true", **given)
    assert f"OMP_WAIT_POLICY='{policy}'" in output.replace(" ", "")
