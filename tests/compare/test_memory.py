import os

import psutil

from leakyrelu._compare import memory as module


def test_memory_is_that_of_the_machine_or_its_container(tmp_path, monkeypatch):
    limits = [tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"]
    monkeypatch.setattr(module, "CONTAINER_LIMITS", limits)
    whole = module.available_memory()
    assert whole == psutil.virtual_memory().total
    limits[0].write_text("max\n")
    limits[1].write_text(f"{2**63 - 4096}\n")  # none
    assert module.available_memory() == whole
    limits[0].write_text(f"{2**28}\n")
    assert module.available_memory() == 2**28
    monkeypatch.delattr(os, "sysconf")  # as on Windows
    assert module.available_memory() == 2**28
    for limit in limits:
        limit.unlink()
    assert module.available_memory() == module.UNKNOWN_MEMORY
