"""Scores, baselines and statistics of runs; verdicts on the paper's claims; the task audit."""
