"""Small trained checkpoints, their data, and the script that trains them."""
