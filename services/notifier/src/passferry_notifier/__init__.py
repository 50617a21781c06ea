"""The bell: rings devices through APNs and keeps Google Wallet objects current."""
