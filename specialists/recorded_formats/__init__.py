"""Readers of prediction files: each streams one format into an index on disk that answers by image."""
