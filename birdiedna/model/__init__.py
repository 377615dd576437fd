"""The Transformer, its attention on each kind of device, and what a CPU does its own way."""
