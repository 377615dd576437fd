"""Build the book: run stale chapters, merge their outputs into pages, render."""
