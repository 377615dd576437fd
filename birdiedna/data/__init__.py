"""Genomes and where they come from: catalogue, download, cache, FASTA, intervals, the sample."""
