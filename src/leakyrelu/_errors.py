"""The errors that a user can mend; any other exception is a bug in this package."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["InputError", "MissingDependencyError", "needed_for"]


class InputError(ValueError):
    """An input to `leakyrelu` can't be used; the message says which, and how to fix it.

    A wrong type raises `TypeError`, a file that can't be read or written `OSError`, and a package
    that is not installed `MissingDependencyError`. Anything else is a bug in this package.

    Examples
    --------
    >>> import leakyrelu
    >>> try:
    ...     leakyrelu.parse("reluu")
    ... except leakyrelu.InputError as error:
    ...     print(error)
    unknown activation 'reluu': did you mean 'relu'? Known are relu, ...
    """

    # Shown, and pickled, under its public name.
    __module__ = "leakyrelu"


class MissingDependencyError(ImportError):
    """A part of `leakyrelu` needs a package that is not installed; the message says which extra.

    Examples
    --------
    >>> import leakyrelu
    >>> issubclass(leakyrelu.MissingDependencyError, ImportError)
    True
    """

    __module__ = "leakyrelu"


@contextmanager
def needed_for(part: str, extra: str) -> Iterator[None]:
    """Say which extra to install if a package that is imported inside is missing.

    An import that fails for another reason is left alone, as it is a bug or a broken package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "leakyrelu"):
            raise
        message = f"{part} needs {package}: pip install 'leakyrelu[{extra}]'"
        raise MissingDependencyError(message, name=package) from error
