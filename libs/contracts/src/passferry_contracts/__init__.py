"""What Passferry's services say to one another: envelope, topics and events. No I/O."""
