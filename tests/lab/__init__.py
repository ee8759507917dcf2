"""The laboratory: real mail servers, a scripted world around them, and the notices that they write.

docs/laboratory.md says how to run it, and how to add a server or a scenario.  Each server runs in
namespaces of its own: its network has nothing but loopback, where the world listens on port 25, and
what it writes to the system is thrown away.  What a fixture expects comes from the scenario's script -
who was refused, with which reply, at which command - and never from what bounceclass said.
"""
