"""Real devices on one Linux machine: a board behind ssh and a phone behind adb, as emulated arm64 userlands.

Each has processes, mounts and a network of its own, and is gone with the test session. They show everything but speed.
"""
