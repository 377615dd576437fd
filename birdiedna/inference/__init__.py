"""What a trained model is used for: one module a verb, from sequences to frames, in batches."""
