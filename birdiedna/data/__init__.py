"""`birdiedna data`: what can be fetched, and what genomes and tasks hold."""
