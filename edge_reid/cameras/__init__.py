"""Frames from cameras and files: sources, the pairing of two of them, and thermal gain."""
