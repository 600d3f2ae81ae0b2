"""Errors that a user meets: one paragraph each, naming the file, the record and the way out."""


class BreadthError(Exception):
    """Base of all errors that are the input's fault, or the machine's, and not the program's."""


class DataError(BreadthError):
    """A file or a record cannot be read, or carries what no structure can have."""


class ShortageError(BreadthError):
    """Counts that were asked for cannot be met; the message says what is short and by how much."""


class ConfigurationError(BreadthError):
    """An option or a combination of options that cannot be carried out."""
