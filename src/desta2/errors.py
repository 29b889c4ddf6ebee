"""The project's exceptions.

A user's mistake (a bad file, key or value) is an `InputError`: the CLI prints it as one line and exits
with code 2. A run that fails for another reason is a `RunError`, exit code 1. Messages say what was given,
what was expected, and what to do.
"""


class Desta2Error(Exception):
    """Base of every error that desta2 raises on purpose."""

    exit_code = 1


class InputError(Desta2Error):
    """Something that the user gave cannot be used."""

    exit_code = 2


class AudioError(InputError):
    """A clip cannot be read: missing, empty, broken, too large, or not audio."""


class RecordError(InputError):
    """A line of a manifest does not fit its schema; the message names file and line."""


class ConfigError(InputError):
    """A configuration key or value is unknown or impossible."""


class CheckpointError(InputError):
    """A model folder is incomplete or does not fit the models that it is used with."""


class RunError(Desta2Error):
    """A run failed although its input was fine."""
