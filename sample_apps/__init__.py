"""Small checkpoints, and apps that show them, shipped with the kit."""
