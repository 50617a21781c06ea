"""What money and points are here. No I/O."""
