"""Which pods have which devices, as the kubelet knows it.

It decides who gets what; this only asks it, and where it does not answer reads
what it left on disk. `reading.read` is the way in; `usage` alone knows what the
answers amount to, and does nothing.
"""
