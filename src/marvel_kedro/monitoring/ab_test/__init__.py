"""A/B test analysis: comparison, sequential test, report and plots."""
