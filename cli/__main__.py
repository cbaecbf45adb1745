"""`python -m controlstack.cli`, as launchers of several processes need it."""

from .main import main

main()
