"""From an image file to what enters a network, and the part of it that is in the graph."""
