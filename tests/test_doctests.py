"""The examples in docstrings, in the README and in docs are true."""

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import leakyrelu

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
ROOT = Path(__file__).parent.parent
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if ">>>" in page.read_text(encoding="utf-8")
]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(leakyrelu.__path__, "leakyrelu.")
    if not module.name.endswith("_kernels")
]


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """Examples write pictures, folders and runs: not into the working tree."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["leakyrelu", *MODULES])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("page", PAGES)
def test_pages(page):
    result = doctest.testfile(str(ROOT / page), module_relative=False, optionflags=FLAGS)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    "name", [name for name in leakyrelu.__all__ if inspect.isfunction(getattr(leakyrelu, name))]
)
def test_every_public_function_has_an_example(name):
    assert doctest.DocTestFinder(recurse=False).find(getattr(leakyrelu, name))[0].examples
