"""The ledger: money and points of passes, in double entry."""
