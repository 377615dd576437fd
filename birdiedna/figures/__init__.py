"""The book's charts: polars frames in, Altair charts out, one function per figure."""
