"""SQL of the schema `pass_issuer`, applied in the order of the numbers."""
