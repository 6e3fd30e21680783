"""Hiera: its network, the order of its tokens, and its pretraining head."""
