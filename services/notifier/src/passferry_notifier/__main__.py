"""`python -m passferry_notifier serve | migrate | replay`."""

from __future__ import annotations

import sys

from passferry_notifier.app import service
from passferry_notifier.settings import NotifierSettings
from passferry_runtime.serving import main

if __name__ == "__main__":
    sys.exit(main("notifier", NotifierSettings, service, "passferry_notifier.migrations"))
