"""The newsstand: what phones talk to. Holds no signing key and no provider credential."""
