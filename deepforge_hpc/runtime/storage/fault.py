"""The one error of storage: its kinds, and what to do about each."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base.files import OddFileError, is_temporary

MISSING = "missing"
EXISTS = "exists"
DENIED = "denied"
FULL = "full"
DAMAGED = "damaged"
"""The content is not what was promised, or it changed while it was read."""
NOT_PLAIN = "not_plain"
"""A link, a pipe, a device; or a folder where a file is wanted."""
INVALID = "invalid"
"""A name or a range that cannot be."""
UNSUPPORTED = "unsupported"
LOGIN = "login"
UNREACHABLE = "unreachable"
"""Nobody answered; whether anything was done is not known."""
FAILED = "failed"

_NEXT = {
    MISSING: "Bring it back, or name another.",
    EXISTS: "Remove it, or say that it may be replaced.",
    DENIED: "Change its permissions, or choose another place.",
    FULL: "Free some space or quota, then try again.",
    DAMAGED: "Bring the right content back, or make it again.",
    NOT_PLAIN: "Put the file itself there.",
    INVALID: "Give another.",
    LOGIN: "Log in, then try again.",
    UNREACHABLE: "Try again later.",
}
_NUMBERS = {
    MISSING: errno.ENOENT,
    EXISTS: errno.EEXIST,
    DENIED: errno.EACCES,
    FULL: errno.ENOSPC,
    NOT_PLAIN: errno.ELOOP,
    INVALID: errno.EINVAL,
    UNSUPPORTED: errno.ENOTSUP,
}
_KINDS = {
    **{number: kind for kind, number in _NUMBERS.items()},
    **dict.fromkeys((errno.EPERM, errno.EROFS), DENIED),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ENXIO), NOT_PLAIN),
    **dict.fromkeys((errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ESTALE), UNREACHABLE),
    errno.ENOTEMPTY: EXISTS,
    errno.EDQUOT: FULL,
    errno.ENAMETOOLONG: INVALID,
}


class PlaceError(OSError):
    """The one error of storage: `where` it happened, `what` it is, and what to do `next`."""

    def __init__(
        self, kind: str, where: object, what: str, then: str = "", number: int = 0
    ) -> None:
        super().__init__(number or _NUMBERS.get(kind, errno.EIO), what, str(where))
        self.kind = kind
        """One of the words above."""
        self.where = str(where)
        self.what = what
        self.next = then or _NEXT.get(kind, "")

    @classmethod
    def of(cls, error: OSError, where: object) -> PlaceError:
        """Return what the operating system refused, as a fault."""
        if isinstance(error, cls):
            return error
        number = error.errno or errno.EIO
        kind = _KINDS.get(number, FAILED)
        return cls(kind, where, error.strerror or str(error), number=number)

    def sentence(self, where: str) -> str:
        """Return the sentence, with another word for the place."""
        # Ours are predicates (`is a link`), those of the system are not (`Permission denied`).
        return f"{where}{' ' if self.what[:1].islower() else ': '}{self.what}"

    def __str__(self) -> str:
        return self.sentence(self.where)


@contextmanager
def explained(where: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a fault, at a name that a person knows."""
    try:
        yield
    except OddFileError as error:
        raise PlaceError(NOT_PLAIN, error.path, error.what) from error
    except ValueError as error:
        raise PlaceError(NOT_PLAIN, where, "is neither a file nor a folder") from error
    except OSError as error:
        at = Path(str(error.filename or where))
        unknown = any(is_temporary(part) for part in at.parts)
        raise PlaceError.of(error, where if unknown else at) from error
