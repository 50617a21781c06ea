"""What is wrong or doubtful about a template, one sentence at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: An error keeps a template from being published; a warning does not.
Severity = Literal["error", "warning"]
#: Of a name that neither the template nor the brand says.
LEFT_TO_NOBODY = "is required: say it here, or in the brand of the workspace"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """`path` is that of the member, such as `apple.fields.header.0.label`, or `files.icon.png`."""

    severity: Severity
    path: str
    message: str
    code: str
