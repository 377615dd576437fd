"""Uses of a trained model: one module per verb, from sequences to data frames, in batches."""
