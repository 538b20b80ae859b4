"""`python -m tangrax`."""

from .cli import main

main()
