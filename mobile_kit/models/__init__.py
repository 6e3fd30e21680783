"""The common model layer: a file a family, and what all of them share."""
