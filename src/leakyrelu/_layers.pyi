instruction_set: str

def prelu_backward(
    dtype: str,
    gradient: int,
    x: int,
    weight: int,
    out: int,
    grad_weight: int,
    outer: int,
    channels: int,
    inner: int,
    /,
) -> None: ...
def rrelu(
    dtype: str,
    factor: int,
    x: int,
    out: int,
    n: int,
    lower: float,
    upper: float,
    seed: int,
    /,
) -> None: ...
