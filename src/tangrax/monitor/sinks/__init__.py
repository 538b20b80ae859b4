"""`tx.sinks`: values of a run as they come, in files and services."""

from .services import tensorboard as tensorboard, wandb as wandb
from .sink import Sink as Sink, Writer as Writer
from .text_files import csv as csv, json_lines as json_lines
