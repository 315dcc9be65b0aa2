"""The notebook runs from its first cell to its last and shows what it says it shows."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "leaky_relu.ipynb"


class ThisPython(KernelSpecManager):
    """The kernel is the Python that runs the tests, whatever else the machine has."""

    def get_kernel_spec(self, kernel_name):
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python", language="python")


@pytest.fixture(scope="module")
def outputs():
    """Return what each cell printed, as one text, by the first line of its source."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=600)
    client.create_kernel_manager().kernel_spec_manager = ThisPython()
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def cell_with(cells, source):
    return next(cell for cell in cells if source in cell.source)


def test_no_cell_warns(outputs):
    for cell in outputs:
        assert not [o for o in cell.outputs if o.get("name") == "stderr"], cell.source


def test_units_die_and_are_cured(outputs):
    dying = printed(cell_with(outputs, "with_relu = train"))
    dead = [int(count) for count in re.findall(r"(\d+) of \d+ units are dead", dying)]
    assert dead[-1] > 50
    assert dead[-1] > dead[0]
    sick = printed(cell_with(outputs, "def gradient_of_the_silent"))
    assert "largest gradient of their weights: 0.0\n" in sick
    cured = printed(cell_with(outputs, "cured = leakyrelu.replace"))
    assert cured.startswith("0 of 320 units are dead")
    assert float(cured.split()[-1]) > 0


def test_pictures_are_shown(outputs):
    shown = [
        cell for cell in outputs if any("image/png" in o.get("data", {}) for o in cell.outputs)
    ]
    assert len(shown) == 4


def test_the_comparison_ends_with_a_verdict(outputs):
    assert "relu" in printed(cell_with(outputs, "leakyrelu.compare("))


def test_no_outputs_are_kept_in_the_file():
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")
