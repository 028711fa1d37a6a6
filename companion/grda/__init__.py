"""GRDA: a discriminator that reconstructs the graph of domains, and what it can align."""
