"""From finished runs to what may be said: frames, scores, baselines, statistics, tables."""
