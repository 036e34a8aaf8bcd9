"""Makes text safe to print: names from files may hold characters that command a terminal."""

import logging
import unicodedata

KEPT = "\n\t"
# Control characters, those that turn the direction of text, and halves of characters.
ESCAPED = ("Cc", "Cf", "Cs")


def printable(text: object) -> str:
    r"""The text with control characters written as escapes such as \x1b; lines and tabs stay."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if character not in KEPT and unicodedata.category(character) in ESCAPED
        else character
        for character in text
    )


class PrintableFormatter(logging.Formatter):
    """Formats log records as text that is safe to print."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with its traceback if it has one."""
        return printable(super().format(record))
