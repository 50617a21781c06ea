"""Lets a simulator's process end cleanly when it is told to."""

import asyncio
import signal


def stop_requested() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set. Call it inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    return stop
