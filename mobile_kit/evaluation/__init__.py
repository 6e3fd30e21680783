"""What an artifact computes, held against the checkpoint and against labels."""
