"""For every test: it runs in an empty directory of its own, and on one core.

Networks as small as those of the tests gain little from a second thread, and threads that
wait for each other slow down manifold on a machine that has other work. Kernels for GPUs are
interpreted on the CPU; with TRITON_INTERPRET=0 they run on a GPU.
"""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for subprocesses
os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is imported


@pytest.fixture(autouse=True)
def _in_empty_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
