"""OpenAI's batch interface: requests in files, answered within a day, for a part of the price."""
