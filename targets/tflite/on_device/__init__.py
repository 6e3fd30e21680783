"""What runs on a device beside the runtime: the engine, its client, and the tracer of operations."""
