"""What an export leaves on disk: the folder of an artifact, its manifest and its golden files."""
