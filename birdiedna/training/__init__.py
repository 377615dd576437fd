"""Pre-training and fine-tuning: the loops, devices, checkpoints and run folders."""
