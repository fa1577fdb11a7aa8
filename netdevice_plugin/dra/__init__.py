"""The DRA front end: the inventory as ResourceSlices, and devices for ResourceClaims.

Nothing of it is imported before a pool asks for it (`frontend: dra`).
"""
