"""Labelled image sets: readers of the known ones and of folders, hold-out, whitening, images that stay bytes."""
