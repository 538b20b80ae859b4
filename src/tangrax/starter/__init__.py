"""Files that `tangrax init` writes: a program to start from, and a batch file that runs it."""

from .write import write_starter as write_starter
