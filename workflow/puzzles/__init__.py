"""The library behind the workflow: describe networks, train them by the population, measure and draw them."""
