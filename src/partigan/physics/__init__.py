"""What generated samples do to physics results."""
