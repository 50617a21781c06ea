"""A strict stand-in for Google Wallet: the API, its token endpoint, save page and callbacks."""

from passferry_testing.google_simulator.callbacks import CallbackSwitches, SentCallback
from passferry_testing.google_simulator.faults import GoogleFault
from passferry_testing.google_simulator.refusals import SaveLinkRefused
from passferry_testing.google_simulator.simulator import GoogleSimulator

__all__ = [
    "CallbackSwitches",
    "GoogleFault",
    "GoogleSimulator",
    "SaveLinkRefused",
    "SentCallback",
]
