"""Objects, classes, save links and callbacks of Google Wallet."""
