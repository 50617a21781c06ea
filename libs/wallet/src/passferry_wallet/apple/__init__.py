"""Apple Wallet: pass.json, bundle, signature, certificates, authentication."""
