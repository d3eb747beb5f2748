"""``python -m penstock``: the command line."""

from .cli.main import app

app(prog_name="penstock")
