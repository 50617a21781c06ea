"""`python -m passferry_pass_issuer [serve|migrate|replay|administrator|rewrap-secrets|new-lookup-key]`."""

from __future__ import annotations

import sys

from passferry_pass_issuer.app import (
    create_administrator,
    new_lookup_key,
    rewrap_secrets,
    service,
)
from passferry_pass_issuer.settings import PassIssuerSettings
from passferry_runtime.serving import main

if __name__ == "__main__":
    sys.exit(
        main(
            "pass-issuer",
            PassIssuerSettings,
            service,
            "passferry_pass_issuer.migrations",
            extra_commands={
                "administrator": create_administrator,
                "rewrap-secrets": rewrap_secrets,
                "new-lookup-key": new_lookup_key,
            },
        )
    )
