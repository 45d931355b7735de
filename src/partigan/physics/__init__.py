"""What generated samples do to the physics that is measured with them."""
