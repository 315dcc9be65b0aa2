"""For every test: it runs in an empty directory of its own."""

import pytest


@pytest.fixture(autouse=True)
def _in_empty_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
