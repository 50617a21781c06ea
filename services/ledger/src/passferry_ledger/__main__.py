"""The ledger as a process: `python -m passferry_ledger [serve|migrate|replay|verify|verify-chain]`."""

import sys

from passferry_ledger.app import service, verify, verify_chain
from passferry_ledger.settings import LedgerSettings
from passferry_runtime.serving import main

if __name__ == "__main__":
    sys.exit(
        main(
            "ledger",
            LedgerSettings,
            service,
            "passferry_ledger.migrations",
            extra_commands={"verify": verify, "verify-chain": verify_chain},
        )
    )
