"""Keep every neuron learning: the Leaky ReLU family, from the function to the proof.

>>> import leakyrelu
>>> leakyrelu.leaky_relu([-1.0, 2.0])
array([-0.01,  2.  ])
"""

from typing import TYPE_CHECKING, Any

from leakyrelu._comparison.compare import compare
from leakyrelu._errors import InputError
from leakyrelu._functions import (
    leaky_relu,
    leaky_relu_backward,
    leaky_relu_derivative,
    prelu,
    prelu_derivative,
    relu,
    relu_derivative,
    rrelu,
    rrelu_derivative,
)
from leakyrelu._plot.plot import plot

if TYPE_CHECKING:
    from leakyrelu import nn
    from leakyrelu.health._born_dead import born_dead
    from leakyrelu.health._examine import examine
    from leakyrelu.health._watch import watch
    from leakyrelu.treatment._groups import parameter_groups
    from leakyrelu.treatment._replace import replace, restore
    from leakyrelu.treatment._revive import revive
    from leakyrelu.treatment._treat import treat

__all__ = [
    "InputError",
    "born_dead",
    "compare",
    "examine",
    "leaky_relu",
    "leaky_relu_backward",
    "leaky_relu_derivative",
    "nn",
    "parameter_groups",
    "plot",
    "prelu",
    "prelu_derivative",
    "relu",
    "relu_derivative",
    "replace",
    "restore",
    "revive",
    "rrelu",
    "rrelu_derivative",
    "treat",
    "watch",
]
__version__ = "0.1.0"

# These need torch, which takes a second to import: only when they are asked for.
_TORCH_ROOMS = {
    "born_dead": "leakyrelu.health",
    "examine": "leakyrelu.health",
    "nn": "leakyrelu.nn",
    "parameter_groups": "leakyrelu.treatment",
    "replace": "leakyrelu.treatment",
    "restore": "leakyrelu.treatment",
    "revive": "leakyrelu.treatment",
    "treat": "leakyrelu.treatment",
    "watch": "leakyrelu.health",
}


def __getattr__(name: str) -> Any:
    if name not in _TORCH_ROOMS:
        raise AttributeError(f"module 'leakyrelu' has no attribute {name!r}")
    import importlib

    try:
        room = importlib.import_module(_TORCH_ROOMS[name])
    except ImportError as error:
        message = f"{name} needs {error.name}: pip install 'leakyrelu[torch]'"
        raise ImportError(message, name=error.name) from error
    return room if name == "nn" else getattr(room, name)
