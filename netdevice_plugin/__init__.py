"""Hand real network interfaces to pods and containers, and bring them home."""

__version__ = "0.1.0"  # the only place: setup.cfg and hack/build_mover.py read it from here
