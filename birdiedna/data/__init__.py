"""Genomes and their sources: catalogue, download, cache, FASTA, intervals, the sample."""
