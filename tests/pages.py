"""The commands and the files that a page of the documents shows, in order, under its headings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Step", "page_steps", "sections"]

ROOT = Path(__file__).parent.parent

# A mark in a comment, and the block below it
_STEP = re.compile(r"^<!-- (?P<mark>[^\n]+) -->\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A block that is marked ``run``, or with an example that it equals and where that stands: ``A to B``."""

    mark: str
    text: str

    @property
    def commands(self) -> str:
        """What a shell does for this step."""
        _, _, target = self.mark.partition(" to ")
        return f"cat >> {target} <<'END'\n{self.text}END\n" if target else self.text


def page_steps(page: str) -> list[Step]:
    """Return the steps of a page (``docs/postfix.md``)."""
    return _steps((ROOT / page).read_text())


def sections(page: str) -> dict[str, str]:
    """Return what a shell does for each section of a page, by the section's heading."""
    parts = re.split(r"^## (.+)\n", (ROOT / page).read_text(), flags=re.MULTILINE)[1:]
    return {
        heading: "\n".join(step.commands for step in _steps(text))
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _steps(text: str) -> list[Step]:
    return [Step(found["mark"], found["text"]) for found in _STEP.finditer(text)]
