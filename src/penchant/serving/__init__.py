"""From a fitted model to answers for the outside world's ids."""
