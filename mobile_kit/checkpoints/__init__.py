"""Checkpoints in: files and weights, Hugging Face's model, and the reference that it is."""
