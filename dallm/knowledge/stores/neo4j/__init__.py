"""Stores that live in a Neo4j database."""
