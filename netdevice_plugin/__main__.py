"""`python -m netdevice_plugin`: the command line, from a checkout too."""

from netdevice_plugin.cli import main

main(prog_name="netdevice-plugin")
