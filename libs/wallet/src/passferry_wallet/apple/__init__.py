"""pass.json, signatures, certificates and .pkpass bundles."""
