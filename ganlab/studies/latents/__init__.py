"""The latent space: images, walks, arithmetic, mixing, truncation, lengths of paths."""
