"""bounceclass: a verdict for each recipient that a bounce reports on.

``classify`` reads a message; ``explain`` reads a code or a reply.
"""

from bounceclass.classify import classify, classify_many
from bounceclass.explain import explain
from bounceclass.model import (
    Action,
    Confidence,
    Delivery,
    Evidence,
    Explanation,
    Failure,
    FeedbackReport,
    Kind,
    Original,
    Reason,
    Report,
    Scope,
    Severity,
    SuggestedAction,
)
from bounceclass.rows import BrokenRules
from bounceclass.rules import Rules, load_rules

__version__ = "0.1.0"

__all__ = [
    "Action",
    "BrokenRules",
    "Confidence",
    "Delivery",
    "Evidence",
    "Explanation",
    "Failure",
    "FeedbackReport",
    "Kind",
    "Original",
    "Reason",
    "Report",
    "Rules",
    "Scope",
    "Severity",
    "SuggestedAction",
    "__version__",
    "classify",
    "classify_many",
    "explain",
    "load_rules",
]
