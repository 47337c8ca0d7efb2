"""Logged models: saved, registered, loaded, served and timed."""
