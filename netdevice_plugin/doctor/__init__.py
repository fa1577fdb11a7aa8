"""`netdevice-plugin doctor`: what of this host would keep a container from its device, and why.

`host` alone reads; each theme makes frozen facts of what it read, and pure checks
make findings of those. `examination` has them all. Nothing is written or changed.
Everything here works on any root directory: a host's that is mounted into a pod,
or one that a test has made up.
"""
