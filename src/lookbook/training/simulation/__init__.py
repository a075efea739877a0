"""Simulated photographs of garments, made from images of a catalogue."""
