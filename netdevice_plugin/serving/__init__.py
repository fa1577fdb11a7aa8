"""What every server for the kubelet stands on: sockets, calls, directories that may be wiped."""
