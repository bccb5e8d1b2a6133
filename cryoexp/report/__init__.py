"""What a run leaves behind: metrics.json, manifest.json, figures, predictions, report.html."""

from cryoexp.report.report import Report

__all__ = ["Report"]
