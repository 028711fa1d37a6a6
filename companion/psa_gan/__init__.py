"""PSA-GAN."""
