"""The endpoint of the parameters as a served endpoint of a Databricks workspace.

It is made and changed by difference: what is there as described is left alone. Written from the
source of databricks-sdk and from public documentation; no workspace has seen it yet.

From the description to requests: `wanted` says what is asked for, `served` what is there,
`difference` what is not the same; `deployment` and `shifting` are the commands; `update` sets what
is served, by way of `waiting` and `smoke`, and undoes it; `refusals` says what went wrong.
"""
