"""Training: one loop, its schedule and its checkpoints. Importing this package imports torch."""
