"""The API server's side of the DRA front end: publish slices, read claims, tell their status."""
