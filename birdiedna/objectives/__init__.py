"""Objectives turn windows of DNA into rows of tokens, alone or mixed."""
