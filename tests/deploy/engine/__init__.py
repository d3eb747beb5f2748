"""Programs on the real Pulumi engine, with stand-ins for the providers that speak to clouds.

The engine decides what is made, in which order, what is the same the second time, and what lies encrypted in a stack's
state; whether a cloud would take it is what the stand-ins know of it (``services/``), and no more.
"""
