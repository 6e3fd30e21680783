"""Readers of what ExecuTorch's tools measured."""
