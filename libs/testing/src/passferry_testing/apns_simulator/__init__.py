"""A strict stand-in for Apple's push service, in process or as `python -m` of this package."""

from passferry_testing.apns_simulator.apns_faults import ApnsFault
from passferry_testing.apns_simulator.devices import Ring
from passferry_testing.apns_simulator.journal import AcceptedPush
from passferry_testing.apns_simulator.simulator import ApnsSimulator

__all__ = ["AcceptedPush", "ApnsFault", "ApnsSimulator", "Ring"]
