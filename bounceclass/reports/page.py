"""What readers are given: a message, and what more than one of them asks about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bounceclass import mime
from bounceclass.once import once
from bounceclass.reports import origin

if TYPE_CHECKING:
    from bounceclass.model import Mail
    from bounceclass.reports.dialects import Dialects, Found

__all__ = ["Page"]

MAX_LETTER = 16 * 1024
"""Characters of HTML that is not a mail system's up to which text is made of it."""
MAX_PART = 4 * 1024
"""Characters of each machine-readable part in which marks are looked for."""
MAX_VALUE = 300
"""Characters of each header field."""
MAX_VALUES = 3
"""Fields of one name."""


class Page:
    """A message, and the layouts that its notice may be in.

    What one reader has found, the next does not look for again.
    """

    def __init__(self, mail: Mail, dialects: Dialects) -> None:
        self.mail = mail
        self._dialects = dialects

    @once
    def words(self) -> str:
        """What a person would read of the notice."""
        return mime.readable(self.mail)

    @once
    def text(self) -> str:
        """The same in lower case."""
        return self.words.lower()

    @once
    def glance(self) -> str:
        """The same, but nothing of a long letter in HTML: to make text of it costs more than all else."""
        return "" if sum(map(len, self.mail.html)) > MAX_LETTER and not self.may_be_notice else self.text

    @once
    def subject(self) -> str:
        """The Subject in lower case, or an empty string."""
        return self.mail.get("subject").lower()

    @once
    def written_by_mailer(self) -> bool:
        """See ``origin``."""
        return origin.written_by_mailer(self.mail)

    @once
    def may_be_notice(self) -> bool:
        """See ``origin``."""
        return self.written_by_mailer or origin.has_notice_subject(self.mail)

    @once
    def is_forwarded(self) -> bool:
        """See ``origin``."""
        return origin.is_forwarded(self.mail)

    @once
    def sent_to(self) -> frozenset[str]:
        """The addresses, in lower case, that the returned message was sent to by its fields."""
        return origin.sent_to(self.mail)

    @once
    def _before(self) -> str:
        """What stands before the text and may hold marks, in lower case: header fields and machine-readable parts."""
        headers = self.mail.headers
        wanted = self._dialects.fields
        lines: list[str] = []
        for name in headers:
            if name in wanted:
                for value in headers[name][:MAX_VALUES]:
                    lines += ("\n", name, ": ", value[:MAX_VALUE])
        for _, text in self.mail.machine:
            lines += ("\n\n", text[:MAX_PART])
        lines.append("\n\n")
        return "".join(lines).lower()

    @once
    def _found(self) -> tuple[list[Found], list[int]]:
        return self._dialects.find(self._before, self.text)

    @property
    def candidates(self) -> list[Found]:
        """The layouts whose marks stand in the header, the machine-readable parts or the text, the longest mark first."""
        return self._found[0]

    @property
    def may_concern_letters(self) -> bool:
        """Tell whether a mark of a layout stands on the page that may be no mail system's."""
        return self._dialects.concern_letters(self._before, self.glance)

    def end(self, start: int = 0) -> int:
        """Return where the returned message begins in the notice's text, from *start* on, or its length."""
        return next((end for end in self._found[1] if end >= start), len(self.words))
