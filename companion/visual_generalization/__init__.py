"""Visual representation learning does not generalize strongly within the same domain."""
