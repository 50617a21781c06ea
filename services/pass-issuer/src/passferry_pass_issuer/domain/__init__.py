"""What a pass is and shows. Pure: no I/O, no clock, no frameworks."""
