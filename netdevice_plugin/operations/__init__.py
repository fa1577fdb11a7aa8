"""How the agent is seen from outside: metrics, health, logs, and what systemd is told.

Nothing here decides anything; the agent calls it, and it never raises back for what
it cannot tell. It knows no kubelet, no netlink and no configuration.
"""
