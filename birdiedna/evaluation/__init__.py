"""Scores, baselines and statistics of runs; the paper's claims; the audit of tasks."""
