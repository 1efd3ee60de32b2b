"""A run's folder: checkpoints, metrics, events, who is writing."""
