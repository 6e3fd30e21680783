"""The command line: a module a command; `main` parses and calls."""
