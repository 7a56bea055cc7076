"""The report: tables of runs as numbers, figures and one page."""
