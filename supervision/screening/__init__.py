"""Screening: millions of candidates to a ranking by Tc, in shards that many processes answer."""
