"""Measuring files on devices: sessions, their validity, and results of other tools."""
