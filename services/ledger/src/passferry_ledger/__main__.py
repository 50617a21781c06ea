"""The ledger as a process: `python -m passferry_ledger [serve|migrate|replay|verify]`."""

import sys

from passferry_ledger.app import service, verify
from passferry_ledger.settings import LedgerSettings
from passferry_runtime.serving import main

if __name__ == "__main__":
    sys.exit(
        main(
            "ledger",
            LedgerSettings,
            service,
            "passferry_ledger.migrations",
            extra_commands={"verify": verify},
        )
    )
