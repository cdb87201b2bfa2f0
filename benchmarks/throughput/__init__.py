"""How many posts a second: the stream with each of its sources, against the least work that counting needs."""
