instruction_set: str

# dtype, addresses of gradient, x, weight, out, grad_weight; outer, channels, inner;
# whether x is the output
def prelu_backward(*arguments: str | int) -> None: ...

# dtype, addresses of factor, x, out; n, lower, upper, seeds as bytes
def rrelu(*arguments: str | float | bytes) -> None: ...
