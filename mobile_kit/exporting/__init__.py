"""From a checkpoint to verified artifacts: the plan, its jobs, and the processes that run them."""
