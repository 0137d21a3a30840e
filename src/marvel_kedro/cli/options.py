"""Options that several commands share."""

import click

env = click.option("--env", "-e", help="Environment of the parameters.")
conf_source = click.option("--conf-source", help="Folder or archive of the configuration.")
