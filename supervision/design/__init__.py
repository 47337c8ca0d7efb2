"""From predictions to what is done next: calculations, and what a search costs."""
