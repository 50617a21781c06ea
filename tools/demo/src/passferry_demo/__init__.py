"""Brings all of Passferry up on one machine and plays a day of trade through it."""
