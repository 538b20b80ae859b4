"""Other libraries beside Tangrax: `python -m peers`."""
