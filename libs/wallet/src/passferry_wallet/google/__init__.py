"""Google Wallet: classes and objects, save links, callbacks."""
