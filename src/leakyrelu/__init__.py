"""Keep every neuron learning: the Leaky ReLU family, from the function to the proof.

>>> import leakyrelu
>>> leakyrelu.leaky_relu([-1.0, 2.0])
array([-0.01,  2.  ])
"""

from leakyrelu.functions import leaky_relu, leaky_relu_derivative
from leakyrelu.plot import plot

__all__ = ["leaky_relu", "leaky_relu_derivative", "plot"]
__version__ = "0.1.0"
