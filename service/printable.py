"""Names of files as text that can be written down: Linux lets them be any bytes."""

from __future__ import annotations


def as_utf8(name: str) -> str:
    r"""Return the name of a file as text that UTF-8 can hold: a byte that is not UTF-8 becomes `\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shown(text: str) -> str:
    """Replace what is not visible, such as line breaks and what steers a terminal or turns text round, by its code."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in as_utf8(text))
