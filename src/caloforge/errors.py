"""The exception of user-correctable errors.

Everything that a user may get wrong (a file, a recipe, an option) raises `CaloforgeError` with a message that names the
thing, its value and the remedy. The command line prints it as one line and exits with status 2; any other exception is
a defect of the program and keeps its traceback.
"""


class CaloforgeError(ValueError):
    """A user-correctable error; its message is one line and says what to do.

    >>> from caloforge import load_geometry
    >>> try:
    ...     load_geometry("ds4")
    ... except CaloforgeError as error:
    ...     print("ds4" in str(error))
    True
    """


class CannotWrite(CaloforgeError):
    """The system refuses an output: the disk is full, a file too large, a folder read-only."""


class CaloforgeWarning(UserWarning):
    """Something that can be used but is probably a mistake; the command line prints it as a note."""


def missing_extra(package: str, extra: str, purpose: str) -> CaloforgeError:
    """The error for an optional dependency that is absent.

    Args:
        package: name of the import that failed.
        extra: name of caloforge's extra that installs it.
        purpose: what the package is needed for, as in "simulating with Geant4".
    """
    return CaloforgeError(
        f"{purpose} needs the package '{package}', which is not installed: pip install 'caloforge[{extra}]'"
    )
