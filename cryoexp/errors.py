"""The errors a user can cause; each message says what was wrong, where, and what would be right."""


class CryoexpError(Exception):
    """Base of all errors reported to the user as one message without a traceback."""


class ConfigError(CryoexpError):
    """A config that composes but cannot run. The message names the key."""


class DataError(CryoexpError):
    """A file or folder that cannot be used. The message names it."""
