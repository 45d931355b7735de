"""Systems as data: named networks and the ordered phases of a training step."""
