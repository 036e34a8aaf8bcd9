"""Takes one batch from rows to a model."""
