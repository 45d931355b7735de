"""What trainings leave behind: models to sample from, classifiers to measure with."""
