"""Which characters a text of a user's may hold."""

from __future__ import annotations

import re

from deepforge_hpc.errors import Fault, InvalidInputError

MAX_CHARACTERS = 1 << 25
MAX_FAULTS = 50

# C0 and C1 controls, line separators, and the marks that make text read other than it is stored
# (CVE-2021-42574); lone surrogates have no UTF-8; the last two are no characters, for YAML either.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def decode(text: str | bytes, file: str) -> str:
    """Return the text of a file; InvalidInputError if it is not UTF-8, or far too long."""
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            message = f"byte 0x{error.object[error.start]:02x} is not UTF-8"
            hint = "save the file as UTF-8"
            raise InvalidInputError(
                [Fault(message=message, file=file, line=line, hint=hint)]
            ) from error
    if len(text) > MAX_CHARACTERS:
        message = f"longer than {MAX_CHARACTERS:,} characters"
        raise InvalidInputError([Fault(message=message, file=file)])
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def refuse_forbidden(text: str, file: str) -> None:
    """Raise InvalidInputError for characters that no file may hold, each at its place."""
    faults = []
    for match in _FORBIDDEN.finditer(text):
        start = match.start()
        line = text.count("\n", 0, start) + 1
        column = start - text.rfind("\n", 0, start)
        faults.append(
            Fault(message=_named(match[0]), file=file, line=line, column=column, hint="remove it")
        )
        if len(faults) == MAX_FAULTS:
            break
    if faults:
        raise InvalidInputError(faults)


def is_utf8(text: str) -> bool:
    """Tell whether a text, such as a path, can stand in a file in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def control_character(text: str) -> str:
    """Return what no text of one line may hold: `a line break`, `control character U+001B`."""
    return "a line break" if "\n" in text else forbidden(text)


def forbidden(text: str) -> str:
    """Return the first character that no text may hold: `control character U+001B`."""
    match = _FORBIDDEN.search(text)
    return _named(match[0]) if match else ""


def _named(character: str) -> str:
    return f"control character U+{ord(character):04X}"
