"""How many diagnostics of real mail no rule knows."""

from __future__ import annotations

from pathlib import Path

import pytest

import bounceclass
from bounceclass.app.unmatched import unmatched

CORPUS = Path(__file__).parent.parent.parent / "shared" / "corpus"
MAX_SHARE = 0.06


@pytest.mark.skipif(not CORPUS.is_dir(), reason="there is no shared/corpus beside the project")
def test_share_of_diagnostics_that_no_rule_matches() -> None:
    """Of the diagnostics of the corpus, at most MAX_SHARE end without a rule.

    Counted is every failure that ``classify`` finds in a message of the corpus and that
    carries a diagnostic; a message that stands there twice, but for white space, counts
    once.  It ends without a rule where its reason is ``undetermined``, or where what won
    is a frame or a status or reply code whose row is generic, or that has no row.
    """
    messages = {
        b" ".join(raw.split()): raw
        for path in sorted(CORPUS.rglob("*"))
        if path.is_file() and path.name not in ("README.md", "labels.jsonl")
        if (raw := path.read_bytes())
    }
    failures = [failure for raw in messages.values() for failure in bounceclass.classify(raw).failures]
    diagnostics = [failure for failure in failures if failure.diagnostic]
    assert len(diagnostics) > 800
    assert sum(map(unmatched, diagnostics)) / len(diagnostics) <= MAX_SHARE
