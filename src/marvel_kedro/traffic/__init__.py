"""Traffic for an endpoint: made-up characters over simulated days, with drift and late labels."""
