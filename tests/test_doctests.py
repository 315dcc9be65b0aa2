"""The examples in docstrings and in the README are true."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import leakyrelu

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
README = Path(__file__).parent.parent / "README.md"
MODULES = [
    module.name
    for module in pkgutil.walk_packages(leakyrelu.__path__, "leakyrelu.")
    if not module.name.endswith(("__main__", "_kernels"))
]


@pytest.mark.parametrize("name", ["leakyrelu", *MODULES])
def test_docstrings(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


def test_readme():
    result = doctest.testfile(str(README), module_relative=False, optionflags=FLAGS)
    assert result.attempted > 5
    assert result.failed == 0


@pytest.mark.parametrize("name", leakyrelu.__all__)
def test_every_public_function_has_an_example(name):
    assert doctest.DocTestFinder(recurse=False).find(getattr(leakyrelu, name))[0].examples
