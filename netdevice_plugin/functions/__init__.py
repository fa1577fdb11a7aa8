"""PCI functions that programs in pods drive: given a userspace driver, and brought home again.

No link moves and no hook runs: the agent writes to sysfs, and what it was like
before is in a record that is written first. docs/reference/functions.md tells the
steps. `lending.Functions` is what the agent has of this, and `counts.Counts` for
the number of virtual functions.
"""
