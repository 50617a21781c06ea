"""`python -m passferry_wallet_webservice serve | migrate | replay`."""

from __future__ import annotations

import sys

from passferry_runtime.serving import main
from passferry_wallet_webservice.app import service
from passferry_wallet_webservice.settings import WebserviceSettings

if __name__ == "__main__":
    sys.exit(
        main(
            "wallet-webservice",
            WebserviceSettings,
            service,
            "passferry_wallet_webservice.migrations",
        )
    )
