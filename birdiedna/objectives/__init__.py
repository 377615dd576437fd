"""Objectives: windows of DNA to rows of tokens, alone and mixed."""
