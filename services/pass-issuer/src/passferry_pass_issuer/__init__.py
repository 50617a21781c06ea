"""The press: who may issue, what passes look like, and each revision of every pass."""
