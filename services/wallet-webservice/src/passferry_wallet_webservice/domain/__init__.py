"""What a revision, a tag and a visitor are; no I/O."""
