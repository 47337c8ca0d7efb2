"""From predictions to calculations: input folders, and what a search with theory is worth."""
