"""The formats of Apple Wallet and Google Wallet. No Kafka, no database, no network."""
