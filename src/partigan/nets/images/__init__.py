"""Generators and critics of images, one file for each paper."""
