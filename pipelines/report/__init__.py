"""`fld report`: some images of OUT with all that was decided about them, as one page that needs nothing else."""

from pipelines.report.write import Reported, report

__all__ = ["Reported", "report"]
