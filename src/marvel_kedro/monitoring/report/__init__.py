"""The monitoring report: data, formatting, figures and the page."""
