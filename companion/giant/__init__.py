"""GIANT-XRT: features of texts that foretell the neighbourhood of a node, by a tree of ever finer clusters."""
