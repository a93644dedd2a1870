"""Bytes to pixels and back: what a file claims, what it holds, and what a network sees of it."""
