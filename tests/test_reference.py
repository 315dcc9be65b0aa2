"""The reference of the site has every public name."""

import importlib
import re
from pathlib import Path

import pytest

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
# Where several modules offer a name, the reference has it once.
ROOMS = ("leakyrelu", "leakyrelu.nn", "leakyrelu.health", "leakyrelu.treatment")
CONSTANTS_AND_MODULES = {"nn", "functional", "RULES"}
OF_PYTORCH = {"LeakyReLU"}


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_are_in_the_reference(room):
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    documented = {path.rpartition(".")[2] for path in re.findall(r"^::: ([\w.]+)$", text, re.M)}
    public = set(importlib.import_module(room).__all__)
    assert public - documented <= CONSTANTS_AND_MODULES | OF_PYTORCH
