"""The Container Device Interface for Python: model, codec, registry, injection."""
