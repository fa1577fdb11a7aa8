"""A provider of ports for nodes that are servers of OpenStack: Neutron makes, Nova attaches.

A program of its own, which speaks the contract that any other does: the SDK takes
50 MB and most of a second to import, credentials are nothing that the agent has to
hold, and its calls block. `python -m netdevice_plugin.ports.openstack --help`.
"""
