import numpy as np

instruction_set: str
leaky_relu: np.ufunc
leaky_relu_derivative: np.ufunc
leaky_relu_backward: np.ufunc
relu: np.ufunc
relu2: np.ufunc
leaky_relu2: np.ufunc
prelu: np.ufunc
prelu_derivative: np.ufunc

def add_bfloat16(dtype: np.dtype, /) -> None: ...
def with_slope(name: str, negative_slope: float, /) -> np.ufunc: ...
