"""The seam between the kit and its targets: what a target is, and how it is found."""
