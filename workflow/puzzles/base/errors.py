"""The errors a user can cause. Scripts print them as one line and exit non-zero."""


class PuzzleError(Exception):
    """Base class: the message is one line that names what was found and what was expected."""


class ConfigError(PuzzleError):
    """A value in the configuration is wrong; the message starts with its key."""


class DataError(PuzzleError):
    """A data set is missing, damaged or of the wrong form; the message starts with the file."""


class ArchitectureError(PuzzleError):
    """A network cannot be built for this input."""


class ResultsError(PuzzleError):
    """Results that are asked for are not there."""


class TrainingError(PuzzleError):
    """A training was ended by something outside it."""
