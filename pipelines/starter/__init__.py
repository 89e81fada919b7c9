"""How the starter kit's specialists are made: drawn scenes, tiny networks, one trainer. `python -m pipelines.starter`."""
