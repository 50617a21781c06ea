"""Passes for Apple Wallet and Google Wallet: content, signatures and checks; no I/O."""
