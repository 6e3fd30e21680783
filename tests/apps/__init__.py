"""The apps' own code, compiled and run on this machine against what Pillow and the kit compute."""
