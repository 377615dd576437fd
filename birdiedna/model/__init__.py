"""The Transformer, its attention by device, and the forms that are faster on a CPU."""
