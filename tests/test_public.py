"""What is public: its names, written out, which the reference covers; each under its own path."""

import importlib
import importlib.util
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import leakyrelu

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
PUBLIC = {
    "leakyrelu": """
        Activation Candidate Claim Comparison Estimate InputError MissingDependencyError activations
        compare examine health integrations judge leaky_relu leaky_relu2 leaky_relu_backward
        leaky_relu_derivative nn
        born_dead parameter_groups parse plot prelu prelu_derivative relu relu2 relu_derivative
        replace restore revive rrelu rrelu_derivative treat treatment watch""",
    "leakyrelu.activations": "KINDS OTHERS Activation Kind parse",
    "leakyrelu.health": """
        RULES BornDead Deaths Examination HealthWarning LayerHealth Rule Watch born_dead check
        examine watch""",
    "leakyrelu.integrations": "scalars",
    "leakyrelu.integrations.huggingface": "HealthCallback",
    "leakyrelu.integrations.lightning": "HealthCallback",
    "leakyrelu.integrations.tensorboard": "log_to",
    "leakyrelu.nn": "Abs FusedLeakyReLU LeakyReLU LeakyReLU2 PReLU RReLU ReLU2 convert functional",
    "leakyrelu.nn.functional": """
        fused_leaky_relu leaky_relu leaky_relu2 leaky_relu_ prelu relu2 rrelu rrelu_""",
    "leakyrelu.treatment": """
        Revival Reviver SelfRepair Treatment WarmUpLeakyReLU parameter_groups replace restore
        revive treat""",
}
MODULES = [
    "leakyrelu",
    *(module.name for module in pkgutil.walk_packages(leakyrelu.__path__, "leakyrelu.")),
]
NEEDS = {
    "leakyrelu.integrations.huggingface": "transformers",
    "leakyrelu.integrations.lightning": "lightning",
    "leakyrelu._compare.engines.ray": "ray",
    "leakyrelu.nn._triton": "triton",
}


def imported(name):
    if (package := NEEDS.get(name)) and not importlib.util.find_spec(package):
        pytest.skip(f"needs {package}")
    return importlib.import_module(name)


def is_private(name):
    return any(part.startswith("_") for part in name.split("."))


def of_pytorch(found):
    return getattr(found, "__module__", "").startswith("torch")


def test_modules_without_an_underscore_are_those_with_public_names():
    assert {name for name in MODULES if not is_private(name)} == PUBLIC.keys()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names(name):
    module = imported(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    for each in module.__all__:
        assert getattr(module, each) is not None


def test_dir_has_the_public_names_and_no_others():
    assert set(dir(leakyrelu)) == {*leakyrelu.__all__, "__version__"}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_hidden(name):
    """As by a function of its name: then ``import leakyrelu.x.y as p`` would give the function."""
    module = imported(name)
    scope = {}
    exec(f"import {name} as imported", scope)
    assert scope["imported"] is module
    found = leakyrelu
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    assert found is module


def test_reference_has_each_public_name_once_under_its_public_path():
    """One that several modules offer, under one of them; modules and PyTorch's are not ours."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    documented = re.findall(r"^::: ([\w.]+)$", text, re.M)
    assert len(documented) == len(set(documented))
    paths = {}
    for module, names in PUBLIC.items():
        for name in names.split():
            found = getattr(imported(module), name)
            if not isinstance(found, ModuleType) and not of_pytorch(found):
                paths.setdefault(id(found), []).append(f"{module}.{name}")
    for several in paths.values():
        assert sum(path in documented for path in several) == 1, several
    assert set(documented) <= {path for several in paths.values() for path in several}


@pytest.mark.parametrize("name", ["leakyrelu", "leakyrelu.activations", "leakyrelu._cli"])
def test_import_is_light(name):
    """NumPy alone is needed, and the rest takes a second or more to import."""
    heavy = ["torch", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow", "jax", "ray"]
    code = f"import sys, {name}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_work_without_any_optional_package():
    """As after a plain ``pip install leakyrelu``."""
    code = """
import sys
for missing in ("torch", "pandas", "matplotlib", "typer", "rich", "scipy"):
    sys.modules[missing] = None
import leakyrelu
assert leakyrelu.leaky_relu([-1.0])[0] == -0.01
assert leakyrelu.parse("elu").value(2.0) == 2.0
dir(leakyrelu)
for name in ("nn", "Comparison", "examine"):
    try:
        getattr(leakyrelu, name)
    except leakyrelu.MissingDependencyError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.sub("needs [a-z]+", "needs", done.stdout) == (
        "nn needs: pip install 'leakyrelu[torch]'\n"
        "Comparison needs: pip install 'leakyrelu[compare]'\n"
        "examine needs: pip install 'leakyrelu[torch]'\n"
    )


def test_a_bug_in_an_import_is_not_taken_for_a_missing_package():
    from leakyrelu._errors import needed_for

    for statement, error in (
        ("import leakyrelu.no_such_module", ModuleNotFoundError),
        ("from leakyrelu._errors import no_such_name", ImportError),
        ("import no_such_package", leakyrelu.MissingDependencyError),
    ):
        with pytest.raises(ImportError) as raised, needed_for("this", "torch"):
            exec(statement)
        assert raised.type is error
