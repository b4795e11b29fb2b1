"""What may be wrong with a command line."""


class UsageError(ValueError):
    """The words of a command are wrong, whatever the files on the disk: exit code 2."""


class LeftOutError(ValueError):
    """All was done but what cannot be: exit code 3."""
