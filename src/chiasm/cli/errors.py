"""What may be wrong with a command line, and how it is said."""


class UsageError(ValueError):
    """The words of a command are wrong, whatever the files on the disk: exit code 2."""


class LeftOutError(ValueError):
    """All was done but what cannot be: exit code 3."""


def one_line(text: str) -> str:
    """The text in one line; what a terminal would obey rather than show is escaped."""
    plain = " ".join(text.split())
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in plain)
