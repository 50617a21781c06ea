"""`python -m passferry_ledger verify` and `verify-chain`: print one line of JSON per finding, then a
summary."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TextIO
from uuid import UUID

from passferry_ledger.application.verify_ledger import VerifyLedger


def parse_arguments(argv: Sequence[str]) -> UUID | None:
    parser = argparse.ArgumentParser(prog="passferry-ledger verify", description=__doc__)
    parser.add_argument("--workspace", type=UUID, help="only this workspace")
    workspace: UUID | None = parser.parse_args(argv).workspace
    return workspace


async def run_verify(
    verify: VerifyLedger, workspace_id: UUID | None, out: TextIO = sys.stdout
) -> int:
    """0 when all adds up, 1 when anything does not."""
    workspaces = found = 0
    async for name, findings in verify(workspace_id):
        workspaces += 1
        found += len(findings)
        for finding in findings:
            line = {
                "finding": finding.code,
                "workspace_id": str(name),
                "subject": finding.subject,
                "expected": finding.expected,
                "actual": finding.actual,
            }
            out.write(json.dumps(line) + "\n")
    out.write(json.dumps({"workspaces": workspaces, "findings": found}) + "\n")
    return 1 if found else 0
