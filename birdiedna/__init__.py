"""BirdieDNA: reward-based pre-training for genomic sequence modeling, as a small JAX package."""

__version__ = "0.1.0"
