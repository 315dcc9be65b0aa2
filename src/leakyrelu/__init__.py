"""Keep every neuron learning: the Leaky ReLU family, from the function to the proof.

>>> import leakyrelu
>>> leakyrelu.leaky_relu([-1.0, 2.0])
array([-0.01,  2.  ])
"""

from typing import TYPE_CHECKING, Any

from leakyrelu import activations
from leakyrelu._comparison.compare import compare
from leakyrelu._comparison.judge import judge
from leakyrelu._errors import InputError, MissingDependencyError, needed_for
from leakyrelu._functions import (
    leaky_relu,
    leaky_relu2,
    leaky_relu_backward,
    leaky_relu_derivative,
    prelu,
    prelu_derivative,
    relu,
    relu2,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)
from leakyrelu._plot.plot import plot
from leakyrelu.activations import Activation, parse

if TYPE_CHECKING:
    from leakyrelu import health, integrations, nn, treatment
    from leakyrelu._compare.statistics.candidates import Candidate, Estimate
    from leakyrelu._compare.statistics.crossed import Claim
    from leakyrelu._comparison.comparison import Comparison
    from leakyrelu.health import born_dead, examine, watch
    from leakyrelu.treatment import parameter_groups, replace, restore, revive, treat

__all__ = [
    "Activation",
    "Candidate",
    "Claim",
    "Comparison",
    "Estimate",
    "InputError",
    "MissingDependencyError",
    "activations",
    "born_dead",
    "compare",
    "examine",
    "health",
    "integrations",
    "judge",
    "leaky_relu",
    "leaky_relu2",
    "leaky_relu_backward",
    "leaky_relu_derivative",
    "nn",
    "parameter_groups",
    "parse",
    "plot",
    "prelu",
    "prelu_derivative",
    "relu",
    "relu2",
    "relu_derivative",
    "replace",
    "restore",
    "revive",
    "rrelu",
    "rrelu_derivative",
    "treat",
    "treatment",
    "watch",
]
__version__ = "0.1.0"

# Imported when first asked for, as they need PyTorch or pandas, which take a second to import.
_LAZY = {
    "Candidate": "leakyrelu._compare.statistics.candidates",
    "Claim": "leakyrelu._compare.statistics.crossed",
    "Comparison": "leakyrelu._comparison.comparison",
    "Estimate": "leakyrelu._compare.statistics.candidates",
    "born_dead": "leakyrelu.health",
    "examine": "leakyrelu.health",
    "health": "leakyrelu.health",
    "integrations": "leakyrelu.integrations",
    "nn": "leakyrelu.nn",
    "parameter_groups": "leakyrelu.treatment",
    "replace": "leakyrelu.treatment",
    "restore": "leakyrelu.treatment",
    "revive": "leakyrelu.treatment",
    "treat": "leakyrelu.treatment",
    "treatment": "leakyrelu.treatment",
    "watch": "leakyrelu.health",
}


if not TYPE_CHECKING:  # else a type checker takes every name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module 'leakyrelu' has no attribute {name!r}")
        import importlib

        path = _LAZY[name]
        with needed_for(name, extra="compare" if path.startswith("leakyrelu._") else "torch"):
            module = importlib.import_module(path)
        return module if path == f"leakyrelu.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
