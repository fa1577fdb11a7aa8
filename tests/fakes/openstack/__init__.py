"""Keystone, Neutron and Nova, as far as ports of servers go, over HTTP; with their bad days."""

from tests.fakes.openstack.server import OpenStackServer
from tests.fakes.openstack.state import Faults, State

__all__ = ["Faults", "OpenStackServer", "State"]
