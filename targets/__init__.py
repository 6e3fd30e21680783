"""The backends: each folder lowers the common model to one platform's file and runs it."""
