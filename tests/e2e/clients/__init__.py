"""What public clients send and what they need to hear, one module a family.

``HEADERS`` of a module are the header lines as the client's HTTP library writes them; each function
in ``CONVERSATIONS`` is a sequence of requests that the client makes, with bodies as it sends them,
and asserts what its code does with the answers. They were taken down from the clients at work, or
from their source where they cannot be run here. `test_client_conversations.py` runs them all.
"""
