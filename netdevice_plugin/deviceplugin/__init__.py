"""The kubelet's device plugin API, v1beta1: a server for each pool.

Nothing here knows where the lists come from, nor writes a CDI file: what is
published must be resolvable already.
"""

from netdevice_plugin.deviceplugin.kubelet import Kubelet
from netdevice_plugin.deviceplugin.observer import Observer, Silence
from netdevice_plugin.deviceplugin.server import Limits, PoolServer
from netdevice_plugin.deviceplugin.servicer import Ready

__all__ = ("Kubelet", "Limits", "Observer", "PoolServer", "Ready", "Silence")
