"""Trans-Encoder: a bi-encoder and a cross-encoder teach each other, without labels."""
