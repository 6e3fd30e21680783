"""Results of measurements and what they are made of: latency, distances, comparisons."""
