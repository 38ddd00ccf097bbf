"""Knowledge as a graph: passages, conditions, what conditions have, and citations."""
