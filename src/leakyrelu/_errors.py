"""The error of bad input."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Something given to `leakyrelu` can't be used; the message says what, and how to fix it.

    All that a user can mend raises it, or an `OSError` of a file, a `TypeError` of a wrong type or
    an `ImportError` of a package that is missing. Anything else is a bug of ours.

    Examples
    --------
    >>> import leakyrelu
    >>> try:
    ...     leakyrelu.activations.parse("reluu")
    ... except leakyrelu.InputError as error:
    ...     print(error)
    unknown activation 'reluu': did you mean 'relu'? Known are relu, ...
    """

    # Shown, and pickled, under its public name.
    __module__ = "leakyrelu"
