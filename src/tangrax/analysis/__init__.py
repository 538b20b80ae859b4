"""What a run's directory holds, what it says of the training, and what a report draws of it."""

from .advice import Finding as Finding, findings as findings, summary as summary
from .record import Record as Record, as_written as as_written, read_record as read_record
from .report_data import Field as Field, ReportData as ReportData
