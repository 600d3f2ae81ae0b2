"""One update of a fit: as a pure function, one operation after another, or as one graph."""
