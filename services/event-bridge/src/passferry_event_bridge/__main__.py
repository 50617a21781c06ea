"""`python -m passferry_event_bridge serve | migrate | replay`."""

from __future__ import annotations

import sys

from passferry_event_bridge.app import service
from passferry_event_bridge.settings import BridgeSettings
from passferry_runtime.serving import main

if __name__ == "__main__":
    sys.exit(main("event-bridge", BridgeSettings, service, "passferry_event_bridge.migrations"))
