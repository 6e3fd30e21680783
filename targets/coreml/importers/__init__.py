"""Readers of what Apple's tools measured."""
