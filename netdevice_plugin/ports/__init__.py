"""NICs attached to this machine, itself a virtual one, as its pools run low.

A provider does it: a program, a gRPC service, or OpenStack. `keeping` decides, `ports` acts.
Nothing is imported here: our own provider is a program, and needs no more than the contract.
"""
