"""What a step of a training is made of: which images, how they are changed, how weights move."""
