"""`birdiedna export` and `birdiedna import`."""

import argparse

from birdiedna.experiments import export as exporting


def export(given: argparse.Namespace) -> int:
    """`birdiedna export`."""
    folder = exporting.export(given.model, given.folder, given.type)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder}: {size / 1e6:.1f} MB; README.md is its model card")
    return 0


def read_into_run(given: argparse.Namespace) -> int:
    """`birdiedna import`."""
    print(f"run: {exporting.read_into_run(given.model, given.run)}")
    return 0
