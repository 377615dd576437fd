"""Profiles, the runs they ask for, runs on another machine, and results that are kept."""
