"""The errors a user can cause. Scripts print them as one line and exit non-zero."""


class PuzzleError(Exception):
    """Base class: the message is one line that names what was found and what was expected.

    So what a user has written is shown with its line breaks as \\n.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message.replace("\r", "\\r").replace("\n", "\\n"))


class ConfigError(PuzzleError):
    """A value in the configuration is wrong; the message starts with its key."""


class DataError(PuzzleError):
    """A data set is missing, damaged or of the wrong form; the message starts with the file."""


class ArchitectureError(PuzzleError):
    """A network cannot be built for this input."""


class ResultsError(PuzzleError):
    """A result that was asked for does not exist, or does not match."""


class TrainingError(PuzzleError):
    """A training was stopped from outside, for example because its process was killed."""


class StorageError(PuzzleError):
    """A file cannot be written: the disk is full, or the folder may not be written to."""


class NormalizationError(PuzzleError, ValueError):
    """Dividing a network's output by a product of norms means nothing, or an input of the library is wrong."""
