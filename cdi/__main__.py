"""`python -m cdi`: the commands of this library on their own."""

from cdi.cli import main

main(prog_name="cdi")
