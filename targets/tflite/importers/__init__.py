"""Readers of what LiteRT's tools measured."""
