"""Loans that did not end as they should: who is left, what is decided, and links brought home.

`reconcile` decides and does nothing; `holders` knows who lives, `returns` and
`reclaiming` run the mover, and `Reconciler` ties them for the agent. Nothing here
moves a link: that is the mover's, which refuses where a container lives.
"""
